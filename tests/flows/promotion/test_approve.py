"""A person decides: the question waits in the registry, and an answer is acted on once."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client

import tasks.promotion.approve
from flows.approve import approve
from flows.monitor import monitor
from flows.retrain import retrain
from flows.rollback import rollback
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.promotion.verdict import Verdict
from perennial.registry.client import ModelVersion, Registry
from perennial.settings import Settings
from tasks.orchestration.cli import main
from tests.conftest import wait_until
from tests.flows.prepared import Prepared

pytestmark = pytest.mark.usefixtures("prefect_api")

_LOGISTIC = {
    "preparation": "plain",
    "estimator": "logistic_regression",
    "parameters": {"C": 10.0, "solver": "liblinear"},
}
# One word says next to nothing about a review.
WEAK = {"weak": _LOGISTIC | {"features": {"weighting": "tfidf", "max_features": 1}}}
GOOD = {"good": _LOGISTIC | {"features": {"weighting": "tfidf"}}}
FLOOR = {"floors": {"accuracy": 0.3}, "confirm": "none"}
ASKED = FLOOR | {"promotion": "approve"}


@pytest.fixture(scope="module")
def database() -> str:
    """One name for all tests: a prepared machine knows its documents by it."""
    return f"test_{uuid4().hex}"


@pytest.fixture
def learn(
    write_problem: Callable[..., Problem], collection: Any, documents: Any
) -> Callable[..., Verdict]:
    """Retrain the problem with these candidates and gates; return the verdict."""
    collection.insert_many(documents(1200))

    def call(
        candidates: Any = GOOD, gates: Any = ASKED, *, force: bool = False, **changes: Any
    ) -> Verdict:
        write_problem(candidates=candidates, gates=gates, **changes)
        verdict = retrain("reviews", force=force).verdict
        assert verdict is not None
        return verdict

    return call


@pytest.fixture
def begin(
    learn: Callable[..., Verdict],
    prepared: Prepared,
    machine: Settings,
    write_problem: Callable[..., Problem],
) -> Callable[..., Verdict]:
    """Let a retraining have happened on this machine; return its verdict."""

    def call(name: str, candidates: Any = GOOD, gates: Any = ASKED) -> Verdict:
        write_problem(candidates=candidates, gates=gates)
        verdict: Verdict = prepared.enter(name, machine, lambda: learn(candidates, gates))
        return verdict

    return call


@pytest.fixture
def asked(begin: Callable[..., Verdict]) -> None:
    """Version 1 waits for an answer, and there is no Production version."""
    assert begin("asked").outcome == "waiting"


@pytest.fixture
def weak_in_production(begin: Callable[..., Verdict]) -> None:
    """Version 1, which knows next to nothing, is Production."""
    assert begin("weak", WEAK, FLOOR).outcome == "promoted"


@pytest.fixture
def better_asked(
    learn: Callable[..., Verdict],
    prepared: Prepared,
    machine: Settings,
    write_problem: Callable[..., Problem],
) -> Verdict:
    """Version 1 is Production, and version 2, which is better, waits for an answer."""

    def happen() -> Verdict:
        learn(WEAK, FLOOR)
        return learn()

    write_problem(candidates=GOOD, gates=ASKED)
    verdict: Verdict = prepared.enter("better asked", machine, happen)
    assert (verdict.outcome, verdict.challenger) == ("waiting", 2)
    return verdict


def production(registry: Registry) -> int | None:
    version = registry.production("reviews")
    return version and version.version


def waiting(registry: Registry) -> list[int]:
    return [version.version for version in registry.waiting("reviews")]


def stored_verdict(version: ModelVersion) -> tuple[str, str]:
    return version.tags["perennial.verdict"], version.tags["perennial.verdict.reason"]


def told(kind: str, reason: str) -> list[dict[str, Any]]:
    """Return what Prefect's event feed says of a kind, for a reason."""
    wanted = {"filter": {"event": {"name": [f"perennial.version.{kind}"]}}}
    with get_client(sync_client=True) as prefect:
        events = prefect._client.post("/events/filter", json=wanted).json()["events"]
    return [e["payload"] for e in events if reason in e["payload"]["reason"]]


def end_the_time(client: MlflowClient, number: int) -> None:
    """Let the time for an answer about a version be over."""
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    client.set_model_version_tag("reviews", str(number), "perennial.question.until", past)


def test_the_retraining_ends_while_its_question_waits_and_says_how_to_answer(
    learn: Callable[..., Verdict],
    registry: Registry,
    client: MlflowClient,
    collection: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = datetime.now(UTC)

    verdict = learn(gates=ASKED | {"answer_within": "PT6H"})

    assert (verdict.outcome, verdict.challenger) == ("waiting", 1)
    assert (production(registry), waiting(registry)) == (None, [1])
    assert collection.database["perennial_leases"].count_documents({}) == 0
    question = registry.version("reviews", 1).question
    assert question is not None
    assert question.asked >= before
    assert question.until == question.asked + timedelta(hours=6) == verdict.until
    command = 'perennial approve reviews --version 1 --why "..."'
    until = question.until.strftime("until %Y-%m-%d %H:%M UTC")
    said = capsys.readouterr().out
    assert "reviews: waiting, version 1 has passed every gate and a person decides" in said
    assert "kept" not in said
    line = next(line for line in said.splitlines() if command in line)
    assert until in line
    event = wait_until(lambda: told("waiting", until), "the event")[0]
    assert command in event["reason"]
    assert (event["problem"], event["version"]) == ("reviews", 1)
    description = client.get_model_version("reviews", "1").description
    assert description.startswith("Waiting: every gate is passed")
    assert command in description


@pytest.mark.usefixtures("better_asked")
def test_a_yes_promotes_and_the_history_says_who_gave_it(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = approve("reviews", version=2, why="I read fifty answers", by="on call")

    assert (verdict.outcome, verdict.production) == ("promoted", 1)
    assert verdict.gates[-1].found == "yes, by on call: I read fifty answers"
    assert (production(registry), waiting(registry)) == (2, [])
    previous = registry.alias("reviews", "previous")
    assert previous is not None
    assert previous.version == 1
    change = registry.history("reviews")[-1]
    assert (change.kind, change.before, change.after) == ("promotion", 1, 2)
    assert (change.by, change.flow) == ("on call", "approve")
    assert "I read fifty answers" in change.why
    version = registry.version("reviews", 2)
    assert stored_verdict(version)[0] == "promoted"
    assert version.answer == "yes, by on call: I read fifty answers"
    assert "reviews: promoted, Production is now version 2" in capsys.readouterr().out


def test_a_no_keeps_the_version_and_the_verdict_says_who_gave_it(
    better_asked: Verdict, registry: Registry
) -> None:
    why = f"rude to short texts {uuid4()}"

    verdict = approve("reviews", version=2, why=why, by="on call", approve=False)

    assert verdict.outcome == "kept"
    assert verdict.gates[:-1] == better_asked.gates
    assert (production(registry), waiting(registry)) == (1, [])
    said = f"approval: no, by on call: {why}, required a person's yes"
    assert stored_verdict(registry.version("reviews", 2)) == ("kept", said)
    assert wait_until(lambda: told("kept", said), "the event")[0]["version"] == 2


@pytest.mark.usefixtures("weak_in_production")
def test_an_approved_version_is_compared_with_what_is_production_by_then(
    learn: Callable[..., Verdict], write_problem: Callable[..., Problem], registry: Registry
) -> None:
    by_hand = learn(GOOD, FLOOR | {"promotion": "never"})
    assert by_hand.reason == "every gate is passed, but promotion is never automatic"
    assert learn().production == 1
    rollback("reviews", version=2, why="it was right")

    verdict = approve("reviews", version=3, why="I tried it", by="on call")

    assert (verdict.outcome, verdict.production) == ("kept", 2)
    assert [gate.name for gate in verdict.failed] == ["better than Production"]
    assert (production(registry), waiting(registry)) == (2, [])
    assert registry.version("reviews", 3).answer == "yes, by on call: I tried it"


@pytest.mark.e2e
@pytest.mark.usefixtures("better_asked")
def test_an_approved_version_must_pass_the_gates_of_the_file_as_it_is_by_then(
    write_problem: Callable[..., Problem], registry: Registry
) -> None:
    write_problem(candidates=WEAK, gates=ASKED | {"floors": {"accuracy": 0.999}})

    verdict = approve("reviews", version=2, why="I tried it", by="on call")

    assert [gate.name for gate in verdict.failed] == ["accuracy"]
    assert production(registry) == 1


@pytest.mark.e2e
@pytest.mark.usefixtures("weak_in_production")
def test_an_approved_version_begins_as_a_canary_where_the_problem_says_so(
    learn: Callable[..., Verdict], registry: Registry
) -> None:
    learn(rollout={"mode": "canary"})

    approve("reviews", version=2, why="I tried it", by="on call")

    canary = registry.alias("reviews", "canary")
    assert canary is not None
    assert canary.version == 2
    assert (production(registry), waiting(registry)) == (1, [])


@pytest.mark.e2e
def test_the_floor_of_a_decision_is_still_a_gate_when_a_person_answers(
    learn: Callable[..., Verdict], registry: Registry
) -> None:
    decision = {"floor": {"recall": 0.6}}
    asked = learn(decision=decision, metric="precision")
    name = "threshold with enough recall"
    (before,) = (gate for gate in asked.gates if gate.name == name)

    verdict = approve("reviews", version=1, why="I tried it", by="on call")

    (after,) = (gate for gate in verdict.gates if gate.name == name)
    assert after == before


# Silence, and answers that come too late or twice


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("flow", [lambda: retrain("reviews"), lambda: monitor("reviews")])
def test_silence_is_a_no_and_whichever_flow_comes_next_says_so(
    flow: Callable[[], object], registry: Registry, client: MlflowClient
) -> None:
    flow()
    assert waiting(registry) == [1]
    end_the_time(client, 1)

    flow()

    assert (production(registry), waiting(registry)) == (None, [])
    outcome, reason = stored_verdict(registry.version("reviews", 1))
    assert outcome == "kept"
    assert reason.startswith("approval: no, by nobody: no answer until 20")


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("says_yes", [True, False])
def test_an_answer_that_comes_too_late_is_refused(
    says_yes: bool, registry: Registry, client: MlflowClient
) -> None:
    end_the_time(client, 1)

    with pytest.raises(
        OutsideError, match=r"^Version 1 .* has one: no, by nobody: no answer until 20.*UTC\.$"
    ):
        approve("reviews", version=1, why="I tried it", by="on call", approve=says_yes)

    assert (production(registry), waiting(registry)) == (None, [])
    assert stored_verdict(registry.version("reviews", 1))[0] == "kept"


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("until", ["soon", "", "2999-13-01"])
def test_a_question_whose_time_a_person_has_damaged_is_a_no(
    until: str, registry: Registry, client: MlflowClient
) -> None:
    client.set_model_version_tag("reviews", "1", "perennial.question.until", until)
    client.set_model_version_tag("reviews", "1", "perennial.verdict.gates", until)

    with pytest.raises(OutsideError, match="no answer in time"):
        approve("reviews", version=1, why="I tried it", by="on call")

    assert (production(registry), waiting(registry)) == (None, [])


@pytest.mark.usefixtures("asked")
def test_a_newer_challenger_takes_the_place_of_an_older_one_that_waits(
    learn: Callable[..., Verdict], registry: Registry
) -> None:
    newer = learn(force=True)

    assert (newer.challenger, waiting(registry)) == (2, [2])
    closed = "no, by nobody: version 2 is asked about in its place"
    outcome, reason = stored_verdict(registry.version("reviews", 1))
    assert (outcome, reason) == ("kept", f"approval: {closed}, required a person's yes")
    with pytest.raises(OutsideError, match=f"^Version 1 of 'reviews' .* has one: {closed}\\.$"):
        approve("reviews", version=1, why="I tried it", by="on call")
    assert production(registry) is None
    assert approve("reviews", version=2, why="I tried it", by="on call").outcome == "promoted"


@pytest.mark.usefixtures("asked")
def test_a_newer_challenger_that_fails_a_gate_leaves_the_older_question_open(
    learn: Callable[..., Verdict], registry: Registry
) -> None:
    newer = learn(WEAK, ASKED | {"floors": {"accuracy": 0.999}})

    assert (newer.outcome, waiting(registry)) == ("kept", [1])


def test_what_waits_for_no_answer_takes_none(
    learn: Callable[..., Verdict], registry: Registry, client: MlflowClient
) -> None:
    def refusal(number: int, **options: Any) -> str:
        with pytest.raises(OutsideError) as refused:
            approve("reviews", version=number, **{"why": "I tried it", "by": "on call"} | options)
        return str(refused.value)

    with pytest.raises(OutsideError, match="There is no version 1 of 'reviews'"):
        approve("reviews", version=1, why="I tried it", by="on call")
    learn(WEAK, FLOOR)
    learn(WEAK, ASKED)
    learn(GOOD)
    client.delete_model_version_tag("reviews", "2", "perennial.verdict")

    assert refusal(1) == "Version 1 of 'reviews' is Production already."
    assert refusal(2) == "Version 2 of 'reviews' waits for no answer: it has no verdict."
    client.set_model_version_tag("reviews", "2", "perennial.verdict", "kept")
    assert refusal(2) == "Version 2 of 'reviews' waits for no answer: its verdict is 'kept'."
    assert refusal(9).startswith("There is no version 9 of 'reviews'")
    assert refusal(0).startswith("There is no version 0 of 'reviews'")
    assert refusal(-1).startswith("There is no version -1 of 'reviews'")
    assert refusal(3, why="  ").startswith("--why is empty")

    approve("reviews", version=3, why="not yet", by="Ben", approve=False)
    assert refusal(3) == (
        "Version 3 of 'reviews' waits for no answer any more, it has one: no, by Ben: not yet."
    )
    assert production(registry) == 1


@pytest.mark.e2e
@pytest.mark.usefixtures("asked")
def test_a_version_that_cannot_be_compared_again_goes_on_waiting(
    write_problem: Callable[..., Problem], registry: Registry
) -> None:
    write_problem(gates=ASKED, labels={"bad": 0, "positive": 1})

    with pytest.raises(OutsideError, match=r"labels in problems/reviews\.yaml have changed"):
        approve("reviews", version=1, why="I tried it", by="on call")
    assert waiting(registry) == [1]

    approve("reviews", version=1, why="the labels are others now", by="on call", approve=False)
    assert waiting(registry) == []


@pytest.mark.usefixtures("asked")
def test_a_version_that_a_person_makes_production_otherwise_waits_no_longer(
    learn: Callable[..., Verdict], registry: Registry, client: MlflowClient
) -> None:
    rollback("reviews", version=1, why="it is urgent", by="Ben")

    version = registry.version("reviews", 1)
    assert (stored_verdict(version)[0], version.answer) == (
        "promoted",
        "yes, by Ben: it is urgent",
    )

    learn(
        force=True,
        gates=FLOOR | {"not_worse": {"margin": 0.5, "budget": 0.5}} | {"promotion": "never"},
    )
    client.set_model_version_tag("reviews", "2", "perennial.verdict", "waiting")
    client.set_registered_model_alias("reviews", "production", "2")
    retrain("reviews")
    assert (production(registry), waiting(registry)) == (2, [])


@pytest.mark.usefixtures("asked")
def test_an_answer_is_not_acted_on_when_another_one_came_first(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    examine = tasks.promotion.approve.examine

    def while_somebody_refuses(*args: Any) -> Any:
        approve("reviews", version=1, why="not yet", by="Ben", approve=False)
        return examine(*args)

    monkeypatch.setattr("flows.approve.examine", while_somebody_refuses)

    with pytest.raises(OutsideError, match="has one: no, by Ben: not yet"):
        approve("reviews", version=1, why="I tried it", by="on call")

    assert (production(registry), waiting(registry)) == (None, [])


# Where a person is asked


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a person sit at a terminal of a machine without servers, and type this."""

    def type_(text: str) -> None:
        monkeypatch.setattr(tasks.promotion.approve, "uses_embedded_prefect", lambda: True)
        monkeypatch.setattr("sys.stdin", _Terminal(text))

    return type_


@pytest.mark.parametrize(("typed", "outcome"), [("y", "promoted"), ("n", "kept")])
def test_without_a_prefect_server_the_question_comes_to_the_terminal_at_once(
    typed: str,
    outcome: str,
    learn: Callable[..., Verdict],
    registry: Registry,
    at_a_terminal: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    at_a_terminal(f"{typed}\nI tried it\n")

    verdict = learn()

    assert verdict.outcome == outcome
    assert verdict.gates[-1].found.endswith(": I tried it")
    assert waiting(registry) == []
    assert "Shall it become Production?" in capsys.readouterr().out


def test_a_terminal_that_is_closed_leaves_the_question_open(
    learn: Callable[..., Verdict], registry: Registry, at_a_terminal: Callable[[str], None]
) -> None:
    at_a_terminal("")

    assert learn().outcome == "waiting"
    assert waiting(registry) == [1]


def test_the_command_says_yes_or_with_refuse_no(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    class Flow:
        name, fn = "approve", staticmethod(approve.fn)

        def __call__(self, **arguments: Any) -> None:
            given.append(arguments)

    def type_(*arguments: str) -> int | str | None:
        monkeypatch.setattr("sys.argv", ["approve", *arguments])
        with pytest.raises(SystemExit) as ended:
            main(Flow())  # type: ignore[arg-type]
        return ended.value.code

    assert type_("reviews", "--version", "7", "--why", "good") == 0
    assert type_("reviews", "--version", "7", "--refuse", "--why", "bad", "--by", "on call") == 0
    assert type_("reviews", "--version", "7") == 2

    yes = {"problem": "reviews", "version": 7, "why": "good", "approve": True, "by": None}
    assert given == [yes, yes | {"why": "bad", "approve": False, "by": "on call"}]
