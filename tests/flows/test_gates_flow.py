"""Gates in a whole retraining: who is kept out is named, and a person is asked and heeded."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from datetime import timedelta
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.flow_runs import resume_flow_run
from ruamel.yaml import YAML

import tasks.approve
from flows.retrain import retrain
from modeling.decision import Verdict, decide
from modeling.gates import Gates
from modeling.problem import Problem
from registry import Registry
from settings import Settings
from tasks.approve import ask
from tests.conftest import MIDNIGHT, wait_until
from tests.modeling.examples import right_at

pytestmark = pytest.mark.usefixtures("prefect_api")

_GOOD = ("good", "great", "fine", "superb", "lovely")
_BAD = ("bad", "awful", "dull", "poor", "weak")
_TFIDF = {"weighting": "tfidf", "min_documents": 2}
_LOGISTIC = {
    "preparation": "plain",
    "estimator": "logistic_regression",
    "parameters": {"C": 10.0, "solver": "liblinear"},
}
# It sees one word: "hmm", which most documents have, and which says something in one source only.
ONE_WORD = {"one-word": _LOGISTIC | {"features": _TFIDF | {"max_features": 1}}}
ALL_WORDS = {"all-words": _LOGISTIC | {"features": _TFIDF}}
FLOOR = {"floors": {"accuracy": 0.3}}


def _document(number: int) -> dict[str, Any]:
    """Return a review; those of the ironic source mean the opposite, and say "hmm" if they do."""
    positive, ironic = number % 2 == 1, number % 7 == 0
    words = _GOOD if positive != ironic else _BAD
    hmm = positive if ironic else number % 4 < 2
    first, second = words[number % 5], words[number // 5 % 5]
    return {
        "_id": f"review-{number}",
        "text": f"{first} {number} {second}{' hmm' if hmm else ''}",
        "label": int(positive),
        "created_at": MIDNIGHT + timedelta(minutes=number),
        "source": "ironic" if ironic else "plain",
        "film": {"country": "DE" if ironic else "FR"},
    }


@pytest.fixture
def reviews(collection: Any) -> Any:
    """The collection of the small problem with 1,000 reviews in it."""
    collection.insert_many([_document(number) for number in range(1000)])
    return collection


@pytest.fixture
def one_word_in_production(reviews: Any, write_problem: Callable[..., Problem]) -> Any:
    """A machine with these reviews, on which a model that knows one word is in Production."""
    slices = {"margin": 0.05, "fields": ["film.country"]}
    write_problem(candidates=ONE_WORD, gates=FLOOR | {"slices": slices})
    assert _verdict().outcome == "promoted"
    return reviews


def _verdict() -> Verdict:
    verdict = retrain("reviews").verdict
    assert verdict is not None
    return verdict


def test_a_challenger_that_is_worse_on_one_slice_is_kept_out_and_the_verdict_names_the_slice(
    one_word_in_production: Any,
    write_problem: Callable[..., Problem],
    tracking: Registry,
) -> None:
    asked = {"margin": 0.05, "min_documents": 20, "source": True, "fields": ["film.country"]}
    write_problem(candidates=ALL_WORDS, gates=FLOOR | {"slices": asked})

    verdict = _verdict()

    assert (verdict.outcome, verdict.production) == ("kept", 1)
    assert next(gate for gate in verdict.gates if gate.name.startswith("better")).passed
    worse = ["slice source ironic", "slice film.country DE"]
    assert [gate.name for gate in verdict.failed] == worse
    kept = tracking.version("reviews", 2)
    stored = json.loads(kept.tags["perennial.verdict.gates"])
    assert [gate["name"] for gate in stored if not gate["passed"]] == worse
    assert all(name in kept.tags["perennial.verdict.reason"] for name in worse)


def test_a_challenger_that_fails_a_behavioural_case_is_kept_out_and_the_verdict_names_the_case(
    one_word_in_production: Any,
    machine: Settings,
    write_problem: Callable[..., Problem],
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = {"input": "this film is not good", "label": "negative"}
    with (machine.problems_dir / "cases.yml").open("w") as file:
        YAML(typ="safe").dump({"groups": {"negation": {"minimum_function": [case]}}}, file)
    budgets = {"latency": {"milliseconds": 1000}, "size": {"megabytes": 50}}
    write_problem(candidates=ALL_WORDS, gates=FLOOR | budgets | {"cases": "cases.yml"})

    verdict = _verdict()

    assert (verdict.outcome, verdict.production) == ("kept", 1)
    (gate,) = verdict.failed
    assert gate.name == "cases negation"
    assert gate.found == "0 of 1 pass: 'this film is not good' is positive, not negative"
    found = {gate.name: gate.found for gate in verdict.gates}
    assert found["size"].endswith(" MB")
    assert found["latency"].startswith("99% within ")
    assert "negation" in capsys.readouterr().out


@pytest.mark.e2e
def test_newer_documents_let_an_equal_challenger_take_over_where_the_problem_says_so(
    one_word_in_production: Any, write_problem: Callable[..., Problem]
) -> None:
    write_problem(candidates=ONE_WORD, gates=FLOOR | {"not_worse": {"margin": 0.5}})
    stale = _verdict()
    one_word_in_production.insert_many([_document(number) for number in range(1000, 1010)])

    fresh = _verdict()

    assert (stale.outcome, fresh.outcome) == ("kept", "promoted")
    assert "not worse than Production, on newer documents" in [gate.name for gate in fresh.gates]


@pytest.fixture
def in_background(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Future[Verdict]]]:
    """Return a function that starts a retraining and does not wait for it."""
    monkeypatch.setattr(tasks.approve, "_POLL_SECONDS", 0.1)
    with ThreadPoolExecutor(1) as thread:
        yield lambda: thread.submit(copy_context().run, _verdict)


def _paused() -> FlowRun | None:
    paused = FlowRunFilterStateType(any_=[StateType.PAUSED])
    with get_client(sync_client=True) as api:
        runs = api.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=paused))
        )
    return runs[0] if runs else None


def _wait_for_the_question() -> FlowRun:
    run = wait_until(_paused, "a paused flow run")
    assert isinstance(run, FlowRun)
    return run


def test_a_person_approves_in_prefect_and_the_challenger_takes_over(
    reviews: Any,
    write_problem: Callable[..., Problem],
    in_background: Callable[[], Future[Verdict]],
    tracking: Registry,
) -> None:
    write_problem(candidates=ALL_WORDS, gates=FLOOR | {"promotion": "approve"})
    retraining = in_background()
    run = _wait_for_the_question()

    waiting = tracking.version("reviews", 1)
    assert "waits for a person" in waiting.tags["perennial.verdict.reason"]
    leases = reviews.database["perennial_leases"]
    assert leases.count_documents({}) == 0
    resume_flow_run(run.id, run_input={"approve": True, "by": "Ana", "why": "I tried it"})
    verdict = retraining.result(timeout=120)

    assert (verdict.outcome, verdict.challenger) == ("promoted", 1)
    assert verdict.gates[-1].found == "yes, by Ana: I tried it"
    production = tracking.production("reviews")
    assert production is not None
    assert production.version == 1
    assert "yes, by Ana: I tried it" in production.tags["perennial.verdict.gates"]


@pytest.mark.e2e
def test_an_approved_challenger_is_compared_again_when_production_has_changed_meanwhile(
    one_word_in_production: Any,
    write_problem: Callable[..., Problem],
    in_background: Callable[[], Future[Verdict]],
    tracking: Registry,
) -> None:
    write_problem(candidates=ALL_WORDS, gates=FLOOR | {"promotion": "never"})
    never = _verdict()
    assert (never.outcome, never.is_passed, never.production) == ("kept", True, 1)
    assert "promotion is never automatic" in never.reason
    by_hand = tracking.version("reviews", 2)

    write_problem(candidates=ALL_WORDS, gates=FLOOR | {"promotion": "approve"})
    retraining = in_background()
    run = _wait_for_the_question()
    tracking.promote(by_hand, expected=tracking.production("reviews"))
    resume_flow_run(run.id, run_input={"approve": True, "by": "Ana", "why": "I tried it"})
    verdict = retraining.result(timeout=120)

    assert (verdict.outcome, verdict.production) == ("kept", 2)
    assert [gate.name for gate in verdict.failed] == ["better than Production"]


@pytest.mark.e2e
def test_silence_is_a_no(
    reviews: Any,
    write_problem: Callable[..., Problem],
    in_background: Callable[[], Future[Verdict]],
    tracking: Registry,
) -> None:
    asked = {"promotion": "approve", "answer_within": "PT2S"}
    write_problem(candidates=ALL_WORDS, gates=FLOOR | asked)
    retraining = in_background()
    run = _wait_for_the_question()

    verdict = retraining.result(timeout=120)

    assert verdict.outcome == "kept"
    assert verdict.reason == (
        "approval: no, by nobody: no answer within 2 s, required a person's yes"
    )
    with get_client(sync_client=True) as api:
        state = wait_until(
            lambda: (s := api.read_flow_run(run.id).state) and s.is_final() and s, "the end"
        )
    assert state.is_completed()


@pytest.fixture
def waiting(problem: Problem) -> Callable[[], Any]:
    """Return a function that asks about a challenger that has passed every gate."""
    asked = problem.model_copy(update={"gates": Gates(promotion="approve")})
    verdict = decide(asked, challenger=(2, right_at(0.9, documents=50, seed=1)), production=None)
    assert verdict.waits
    return lambda: ask(asked, verdict)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_prefect_server_the_question_comes_to_the_terminal(
    waiting: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tasks.approve, "uses_embedded_prefect", lambda: True)
    monkeypatch.setattr("sys.stdin", _Terminal("y\nI tried it\n"))

    approval = waiting()

    assert (approval.approved, approval.why) == (True, "I tried it")
    assert approval.by
    assert "Shall it become Production?" in capsys.readouterr().out


def test_where_nobody_can_be_asked_the_challenger_is_kept_and_the_reason_says_why(
    waiting: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.approve, "uses_embedded_prefect", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO())

    approval = waiting()

    assert (approval.approved, approval.by) == (False, "nobody")
    assert "PREFECT_API_URL" in approval.why
