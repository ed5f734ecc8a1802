"""A challenger that passes waits until a later retraining, or new documents, confirm it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perennial.config.problem import Problem
from perennial.gates.approval import Approval
from perennial.promotion.verdict import Verdict
from perennial.registry.client import Note, open_registry
from perennial.settings import Settings
from tasks.data.ingest import ingest
from tasks.data.prepare import prepare
from tasks.promotion.promote import promote
from tests.tasks.promotion.test_promote import CANDIDATES, Shop

FLOOR = {"floors": {"accuracy": 0.3}}


@pytest.fixture
def open_shop(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    machine: Settings,
    run_task: Callable[..., Any],
) -> Callable[..., Shop]:
    """Return a function that prepares what is there after so many reviews have arrived."""
    arrived = 0

    def call(arriving: int, **gates: Any) -> Shop:
        nonlocal arrived
        problem = write_problem(candidates=CANDIDATES, gates=FLOOR | gates)
        if arriving:
            collection.insert_many(documents(arriving, first=arrived))
            arrived += arriving
        ingested = run_task(ingest, problem, rescan=True)
        return Shop(problem, run_task(prepare, problem, ingested.snapshot), open_registry(machine))

    return call


def retrain(shop: Shop, name: str = "good") -> Verdict:
    return shop.promote(*shop.challenger(name))


def waits(verdict: Verdict) -> bool:
    return (verdict.outcome, verdict.is_unconfirmed) == ("kept", True)


def test_a_challenger_that_passes_twice_running_takes_over_and_the_first_time_it_waits(
    open_shop: Callable[..., Shop],
) -> None:
    first = retrain(shop := open_shop(1200), "weak")
    assert (first.outcome, first.confirmation) == ("promoted", None)

    once = retrain(shop)
    assert waits(once)
    assert "passed for the first time against version 1" in once.reason
    assert shop.aliases() == (1, None)
    assert shop.registry.version("reviews", 2).confirmation == "awaited"

    # The same documents have the same result, however often it is asked for.
    assert waits(retrain(shop))
    twice = retrain(shop := open_shop(100))

    assert (twice.outcome, twice.confirmation) == ("promoted", "confirmed")
    assert "version 3 has passed before, on fewer documents" in twice.reason
    assert shop.aliases() == (4, 1)
    assert shop.registry.history("reviews")[-1].why == twice.reason


def test_another_candidate_confirms_nothing_and_a_failure_between_starts_anew(
    open_shop: Callable[..., Shop],
) -> None:
    retrain(shop := open_shop(1000), "weak")
    assert waits(retrain(shop))

    strict = open_shop(100, cases=None, confidence=0.95, floors={"accuracy": 0.999})
    assert not retrain(strict).is_unconfirmed
    assert not retrain(strict, "weak").is_passed

    again = retrain(open_shop(100))
    assert waits(again)
    assert "version 3, the one before, has not passed" in again.reason


def test_what_was_confirmed_against_another_production_is_not_confirmed(
    open_shop: Callable[..., Shop],
) -> None:
    weak = (shop := open_shop(1000)).challenger("weak")
    shop.promote(*weak)
    assert waits(retrain(shop))
    other = shop.challenger("weak")[0]
    shop.registry.roll_back(other, expected=shop.registry.production("reviews"), note=Note("!"))

    shop = open_shop(100)
    assert waits(retrain(shop))
    shop.registry.roll_back(weak[0], expected=shop.registry.production("reviews"), note=Note("!"))

    assert waits(retrain(open_shop(100)))


def test_who_has_no_time_promotes_at_once_and_the_history_says_so(
    open_shop: Callable[..., Shop], run_task: Callable[..., Any]
) -> None:
    retrain(shop := open_shop(1000), "weak")

    verdict = run_task(promote, shop.problem, shop.dataset, *shop.challenger("good"), urgent=True)

    assert verdict.outcome == "promoted"
    assert shop.registry.history("reviews")[-1].why == (
        "every gate is passed; not confirmed: the retraining is urgent"
    )


def test_a_person_is_asked_about_what_is_confirmed_and_the_yes_needs_no_further_pass(
    open_shop: Callable[..., Shop], run_task: Callable[..., Any]
) -> None:
    retrain(shop := open_shop(1000), "weak")
    assert waits(retrain(shop := open_shop(0, promotion="approve")))
    assert shop.registry.waiting("reviews") == ()
    shop = open_shop(100, promotion="approve")
    version, seen = shop.challenger("good")
    asked = shop.promote(version, seen)
    assert (asked.outcome, asked.confirmation) == ("waiting", "confirmed")

    yes = Approval(approved=True, by="on call", why="I read fifty")
    verdict = run_task(promote, shop.problem, shop.dataset, version, seen, yes)

    assert (verdict.outcome, verdict.confirmation) == ("promoted", "confirmed")
    assert shop.aliases() == (3, 1)


def test_a_canary_begins_with_what_is_confirmed(
    open_shop: Callable[..., Shop], write_problem: Callable[..., Problem]
) -> None:
    def careful(shop: Shop) -> Shop:
        shop.problem = write_problem(candidates=CANDIDATES, gates=FLOOR, rollout="canary")
        return shop

    retrain(shop := careful(open_shop(1000)), "weak")
    assert waits(retrain(shop))
    assert shop.registry.alias("reviews", "canary") is None

    shop = careful(open_shop(100))
    assert retrain(shop).outcome == "promoted"

    canary = shop.registry.alias("reviews", "canary")
    assert canary is not None
    assert canary.version == 3
    assert shop.aliases() == (1, None)


def test_fresh_documents_confirm_when_there_are_enough_and_the_gain_is_proved_on_them(
    open_shop: Callable[..., Shop],
) -> None:
    retrain(shop := open_shop(1000, confirm="fresh"), "weak")
    once = retrain(shop)
    assert waits(once)
    assert "no document has arrived since" in once.reason

    few = retrain(open_shop(60, confirm="fresh"))
    assert waits(few)
    assert "60 documents have arrived since version 2 has passed" in few.reason

    verdict = retrain(open_shop(800, confirm="fresh"))

    assert verdict.outcome == "promoted"
    assert "version 2: accuracy +" in verdict.reason
    assert "on 860 documents that arrived after it" in verdict.reason


def test_a_problem_that_asks_for_no_confirmation_promotes_at_once(
    open_shop: Callable[..., Shop],
) -> None:
    retrain(shop := open_shop(1000, confirm="none"), "weak")

    verdict = retrain(shop)

    assert (verdict.outcome, verdict.confirmation) == ("promoted", None)
