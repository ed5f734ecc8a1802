"""Promotion: one winner, in one step, and the verdict says what happened."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mlflow import MlflowClient
from prefect.logging import disable_run_logger

from perennial.config.problem import Problem
from perennial.errors import OutsideError, UnavailableError
from perennial.promotion.verdict import Verdict
from perennial.registry.client import ModelVersion, Registry, open_registry
from perennial.settings import Settings
from perennial.stores import mongodb
from tasks.data.ingest import ingest
from tasks.data.prepare import Dataset, prepare
from tasks.promotion.promote import promote
from tasks.training.evaluate import Evaluation
from tasks.training.register import register
from tasks.training.train import choose, predict, train

_FEATURES = {"weighting": "tfidf", "min_documents": 2}
_LOGISTIC = {
    "preparation": "plain",
    "estimator": "logistic_regression",
    "parameters": {"C": 10.0, "solver": "liblinear"},
}
CANDIDATES = {
    # One word says next to nothing about a review.
    "weak": _LOGISTIC | {"features": _FEATURES | {"max_features": 1}},
    "good": _LOGISTIC | {"features": _FEATURES},
}


@dataclass
class Shop:
    """A problem with a prepared snapshot, in which challengers can be made."""

    problem: Problem
    dataset: Dataset
    registry: Registry

    def challenger(self, name: str) -> tuple[ModelVersion, Evaluation]:
        with disable_run_logger(), self.registry.run(self.problem.name, "retrain") as parent:
            result = train.fn(self.problem, name, self.dataset, parent)
            challenger = choose.fn(self.problem, self.dataset, [result])
            texts, labels = self.dataset.holdout_inputs, self.dataset.holdout_labels
            seen = Evaluation(predict(self.problem, challenger.model, texts, labels), {})
            return register.fn(self.problem, self.dataset, challenger, seen), seen

    def promote(self, version: ModelVersion, seen: Evaluation) -> Verdict:
        with disable_run_logger():
            return self.promote_in_thread(version, seen)

    def promote_in_thread(self, version: ModelVersion, seen: Evaluation) -> Verdict:
        verdict = promote.fn(self.problem, self.dataset, version, seen)
        assert isinstance(verdict, Verdict)
        return verdict

    def promote_both(
        self, one: tuple[ModelVersion, Evaluation], other: tuple[ModelVersion, Evaluation]
    ) -> list[Verdict]:
        with disable_run_logger(), ThreadPoolExecutor(2) as threads:
            both = [threads.submit(self.promote_in_thread, *made) for made in (one, other)]
            return [future.result(timeout=120) for future in both]

    def aliases(self) -> tuple[int | None, int | None]:
        found = (self.registry.alias(self.problem.name, a) for a in ("production", "previous"))
        production, previous = (version and version.version for version in found)
        return production, previous

    def tags(self, version: ModelVersion) -> dict[str, str]:
        client: Any = self.registry._client
        return dict(client.get_model_version(self.problem.name, str(version.version)).tags)


@pytest.fixture
def shop(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    machine: Settings,
    run_task: Callable[..., Any],
) -> Shop:
    problem = write_problem(
        candidates=CANDIDATES, gates={"floors": {"accuracy": 0.3}, "confirm": "none"}
    )
    collection.insert_many(documents(1200))
    ingested = run_task(ingest, problem)
    dataset = run_task(prepare, problem, ingested.snapshot)
    return Shop(problem, dataset, open_registry(machine))


def test_the_first_challenger_that_meets_the_floors_is_promoted(shop: Shop) -> None:
    version, seen = shop.challenger("weak")

    verdict = shop.promote(version, seen)

    assert (verdict.outcome, verdict.production) == ("promoted", None)
    assert shop.aliases() == (1, None)
    tags = shop.tags(version)
    assert tags["perennial.verdict"] == "promoted"
    assert json.loads(tags["perennial.verdict.gates"])[0]["passed"] is True


def test_a_better_challenger_takes_over_and_one_that_is_not_better_changes_nothing(
    shop: Shop,
) -> None:
    weak, good, same = (shop.challenger(name) for name in ("weak", "good", "good"))
    shop.promote(*weak)

    better = shop.promote(*good)
    after_better = shop.aliases()
    kept = shop.promote(*same)

    assert (better.outcome, better.production, after_better) == ("promoted", 1, (2, 1))
    assert (kept.outcome, kept.production) == ("kept", 2)
    assert "better than Production" in kept.reason
    assert shop.aliases() == (2, 1)
    assert shop.tags(same[0])["perennial.verdict"] == "kept"
    assert shop.tags(same[0])["perennial.verdict.compared_with"] == "2"


def test_a_challenger_below_a_floor_is_kept_out(
    write_problem: Callable[..., Problem], shop: Shop
) -> None:
    shop.problem = write_problem(candidates=CANDIDATES, gates={"floors": {"accuracy": 0.999}})

    verdict = shop.promote(*shop.challenger("weak"))

    assert (verdict.outcome, verdict.production) == ("kept", None)
    assert shop.aliases() == (None, None)


@pytest.mark.parametrize("there_is_production", [False, True])
def test_two_retrainings_cannot_both_promote(
    there_is_production: bool, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = None
    if there_is_production:
        before = 1
        shop.promote(*shop.challenger("weak"))
    one, other = shop.challenger("good"), shop.challenger("good")
    both_have_compared = threading.Barrier(2)
    lease, waited = mongodb.lease, threading.local()

    @contextmanager
    def lease_when_both_have_compared(*args: Any, **kwargs: Any) -> Any:
        if not getattr(waited, "once", False):
            waited.once = True
            both_have_compared.wait(timeout=60)
        with lease(*args, **kwargs):
            yield

    monkeypatch.setattr(mongodb, "lease", lease_when_both_have_compared)
    verdicts = shop.promote_both(one, other)

    winner, loser = sorted(verdicts, key=lambda verdict: verdict.outcome, reverse=True)
    assert (winner.outcome, loser.outcome) == ("promoted", "kept")
    assert winner.production == before
    assert loser.production == winner.challenger
    assert shop.aliases() == (winner.challenger, before)


def test_only_one_process_at_a_time_moves_the_aliases(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = shop.challenger("good"), shop.challenger("good")
    other_is_refused = threading.Event()
    inside, most = [], []
    take, move = mongodb._take, Registry.promote

    def take_and_tell(*args: Any) -> bool:
        taken = take(*args)
        if not taken:
            other_is_refused.set()
        return taken

    def move_while_the_other_waits(self: Registry, *args: Any, **kwargs: Any) -> None:
        inside.append(threading.get_ident())
        most.append(len(inside))
        other_is_refused.wait(timeout=30)
        try:
            move(self, *args, **kwargs)
        finally:
            inside.pop()

    monkeypatch.setattr(mongodb, "_take", take_and_tell)
    monkeypatch.setattr(Registry, "promote", move_while_the_other_waits)
    shop.promote_both(one, other)

    assert other_is_refused.is_set()
    assert max(most) == 1


def test_a_promotion_that_is_tried_again_after_the_alias_has_moved_is_still_a_promotion(
    shop: Shop, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.promote(*shop.challenger("weak"))
    version, seen = shop.challenger("good")
    annotate, failures = Registry.annotate, [UnavailableError("MLflow is away for a moment")]

    def fail_once(self: Registry, *args: Any, **kwargs: Any) -> None:
        if failures:
            raise failures.pop()
        annotate(self, *args, **kwargs)

    monkeypatch.setattr(Registry, "annotate", fail_once)
    monkeypatch.setattr(promote, "retry_delay_seconds", [0, 0])

    verdict = promote(shop.problem, shop.dataset, version, seen)

    assert not failures
    assert shop.aliases() == (2, 1)
    assert (verdict.outcome, verdict.production) == ("promoted", 1)
    assert shop.tags(version)["perennial.verdict"] == "promoted"


def test_a_crash_between_the_two_aliases_leaves_production_as_it_was(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.promote(*shop.challenger("weak"))
    good = shop.challenger("good")
    set_alias = MlflowClient.set_registered_model_alias
    calls: list[str] = []

    def crash_on_the_second(self: MlflowClient, name: str, alias: str, version: str) -> None:
        calls.append(alias)
        if len(calls) == 2:
            raise KeyboardInterrupt
        set_alias(self, name, alias, version)

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_registered_model_alias", crash_on_the_second)
        with pytest.raises(KeyboardInterrupt):
            shop.promote(*good)

    production = shop.registry.production(shop.problem.name)
    assert calls == ["previous", "production"]
    assert production is not None
    assert production.version == 1
    assert shop.registry.load(production) is not None
    assert shop.promote(*good).outcome == "promoted"
    assert shop.aliases() == (2, 1)


@pytest.fixture
def leases(collection: Any) -> Any:
    return collection.database


def test_a_lease_is_given_back_also_after_a_failure(leases: Any) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), mongodb.lease(leases, "a", patience=0):
            raise ZeroDivisionError

    assert leases["perennial_leases"].count_documents({}) == 0


def test_a_lease_that_somebody_holds_is_not_given_and_the_message_names_it(leases: Any) -> None:
    with (
        mongodb.lease(leases, "a"),
        mongodb.lease(leases, "b", patience=0),
        pytest.raises(OutsideError, match=r"lock 'a'.*perennial_leases"),
        mongodb.lease(leases, "a", patience=0),
    ):
        pytest.fail("two hold the same lease")


def test_a_lease_that_a_dead_holder_left_expires_and_not_before(leases: Any) -> None:
    until = datetime.now(UTC) + timedelta(seconds=1)
    leases["perennial_leases"].insert_one({"_id": "a", "holder": "dead", "until": until})

    with mongodb.lease(leases, "a", patience=60):
        taken = datetime.now(UTC)

    assert taken >= until - timedelta(milliseconds=1)


def test_a_holder_who_was_too_slow_does_not_end_the_lease_of_the_next_one(leases: Any) -> None:
    with mongodb.lease(leases, "a", seconds=0), mongodb.lease(leases, "a", patience=60):
        pass
    with mongodb.lease(leases, "a", seconds=0):
        leases["perennial_leases"].update_one({"_id": "a"}, {"$set": {"holder": "next"}})

    assert leases["perennial_leases"].find_one({"_id": "a"})["holder"] == "next"
