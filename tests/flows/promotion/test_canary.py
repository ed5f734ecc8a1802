"""A rollout by canary: a good one becomes Production by itself, a bad one is taken back."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.events.filters import EventFilter, EventNameFilter

from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.promotion.canary_analysis import CanaryAnalysis
from perennial.registry.client import CANARY, ModelVersion, Registry, open_registry
from perennial.settings import Settings, get_serving_settings
from perennial.stores.prediction_log import Failure, Feedback
from serving.api import scoring
from serving.api.answer import Answer
from serving.models.loaded import Loaded, Served, load
from serving.models.routing import choose
from serving.telemetry.log import PredictionLog
from serving.telemetry.metrics import Metrics
from tasks.rollout import canary
from tasks.rollout.judge_canary import judge_canary
from tests.conftest import wait_until
from tests.small_models import fit_small, register_small
from tests.tasks.promotion.test_promote import CANDIDATES

pytestmark = pytest.mark.usefixtures("prefect_api")

ROLLOUT = {"mode": "canary", "steps": [0.25, 0.5], "requests": 40, "step_time": "PT0S"}
TAG = "perennial.canary."


@flow(name="look")
def look(problem: Problem) -> CanaryAnalysis | None:
    """What the flow `monitor` does with a canary."""
    return judge_canary(problem)


class Flipped:
    """A predictor that says the other label whenever it should say the first one."""

    def __init__(self, predictor: Any) -> None:
        self._predictor, self.classes = predictor, predictor.classes

    def probabilities(self, inputs: Any) -> Any:
        scores = self._predictor.probabilities(inputs)
        return np.where(scores[:, :1] > 0.5, scores[:, ::-1], scores)

    def assess(self, inputs: Any) -> Any:
        return self._predictor.assess(inputs)._replace(probabilities=self.probabilities(inputs))

    def decide(self, probabilities: Any) -> list[int]:
        decided: list[int] = self._predictor.decide(probabilities)
        return decided


@dataclass
class Traffic:
    """Requests that the service's own parts route, answer and log."""

    problem: Problem
    registry: Registry
    log: PredictionLog
    database: Any
    reviews: list[tuple[str, int]]
    break_canary: Callable[[Loaded], Loaded] = lambda canary: canary
    models: dict[int, Loaded] = field(default_factory=dict)

    def send(self, requests: int, *, feedback: float = 0.5) -> None:
        """Answer requests, and let people say of some of them what would have been right."""
        production, challenger = self._load("production"), self._load(CANARY)
        assert production is not None
        broken = challenger and self.break_canary(challenger)
        served = Served(self.problem.name, production, canary=broken)
        rng = np.random.default_rng(len(self.models))
        for index in rng.integers(0, len(self.reviews), requests):
            text, truth = self.reviews[index]
            chosen = choose(served, None)
            answer = scoring.answer(chosen, [text])
            self._keep(answer, text, self.problem.classes[truth], rng.random() < feedback)
        wait_until(lambda: not self.log._has_work(), "the log is written")

    def _keep(self, answer: Answer, text: str, truth: str, is_said: bool) -> None:
        prediction_id = f"{self.problem.name}.{answer.version.version}.{uuid4().hex}"
        self.log.add(answer.logged([prediction_id], [text], 0.0005))
        if is_said:
            number = answer.version.version
            said = Feedback(time.time(), prediction_id, self.problem.name, number, truth)
            self.log.add_feedback(said)

    def fail(self, version: int, requests: int) -> None:
        for _ in range(requests):
            self.log.add_failure(Failure(time.time(), self.problem.name, version))
        wait_until(lambda: not self.log._has_work(), "the log is written")

    def _load(self, alias: str) -> Loaded | None:
        version = self.registry.alias(self.problem.name, alias)
        if version is None:
            return None
        if version.version not in self.models:
            file = self.registry.fetch(version)
            self.models[version.version] = load(version, file, "registry")
        return replace(self.models[version.version], version=version)

    def aliases(self) -> dict[str, int]:
        (found,) = self.registry.problems()
        return dict(found.versions)

    def tags(self, version: int) -> dict[str, str]:
        return dict(self.registry.version(self.problem.name, version).tags)


@pytest.fixture(scope="module")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory, snippets: list[tuple[str, int]]) -> Path:
    """Return an MLflow database with two good versions of the small problem, and no alias yet."""
    models = [fit_small(snippets[:count]) for count in (800, 1000)]
    return register_small(tmp_path_factory.mktemp("registered"), models)


@pytest.fixture
def traffic(
    write_problem: Callable[..., Problem],
    collection: Any,
    snippets: list[tuple[str, int]],
    machine: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Traffic]:
    """A machine whose first version is in Production and whose second one is the canary."""
    monkeypatch.setenv("SERVING_LOG_DATABASE", collection.database.name)
    get_serving_settings.cache_clear()
    # Chance decides which version answers, here always in the same way.
    random.seed(1)
    problem, registry = write_problem(rollout=ROLLOUT), open_registry(machine)
    first, second = (registry.version("reviews", number) for number in (1, 2))
    registry.promote(first, expected=None)
    canary.start(problem, registry, second, first)
    serving = get_serving_settings().model_copy(update={"log_per_second": 100_000})
    log = PredictionLog(machine, serving, Metrics())
    log.start()
    yield Traffic(problem, registry, log, collection.database, snippets[1000:])
    log.end()
    get_serving_settings.cache_clear()


def test_a_challenger_that_passes_its_gates_begins_as_the_canary(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    machine: Settings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    collection.insert_many(documents(1200))
    gates = {"floors": {"accuracy": 0.3}, "confirm": "none"}
    for name in ("weak", "good"):
        write_problem(candidates={name: CANDIDATES[name]}, gates=gates, rollout="canary")
        retrain("reviews")

    (found,) = open_registry(machine).problems()
    assert found.versions == {"production": 3, "canary": 4}
    assert "version 4 answers 5% of the requests as the canary" in capsys.readouterr().out
    canary_tags = open_registry(machine).version("reviews", 4).tags
    shares = json.loads(canary_tags["perennial.predicted_shares"])
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)


def _events(name: str) -> list[Any]:
    with get_client(sync_client=True) as api:
        answer = api.request(
            "POST",
            "/events/filter",
            json={
                "filter": EventFilter(event=EventNameFilter(name=[name])).model_dump(mode="json")
            },
        )
    return list(answer.json()["events"])


def test_a_good_canary_goes_through_its_steps_and_becomes_production(
    traffic: Traffic,
) -> None:
    assert traffic.aliases() == {"production": 1, "canary": 2}
    assert traffic.tags(2)["perennial.canary.share"] == "0.25"

    outcomes = []
    for _ in range(3):
        judged = look(traffic.problem)
        assert judged is not None
        outcomes.append((judged.outcome, judged.share))
        traffic.send(250)
    last = look(traffic.problem)

    assert outcomes == [("wait", 0.25), ("next step", 0.25), ("promote", 0.5)]
    assert last is None
    assert traffic.aliases() == {"production": 2, "previous": 1}
    assert traffic.tags(2)[TAG + "outcome"] == "promoted"
    with get_client(sync_client=True) as api:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["canary-reviews"]))
        artifacts = [str(found.data) for found in api.read_artifacts(artifact_filter=key)]
    assert any("feedback accuracy" in shown for shown in artifacts)
    kept = traffic.database.perennial_measurements.find_one({"_id": "judge reviews"})
    assert {"name": "canary_requests_ratio", "value": 0.0, "labels": {}} in kept["figures"]


def test_a_canary_with_flipped_labels_is_taken_back_within_three_looks_and_stays_so(
    traffic: Traffic,
) -> None:
    traffic.break_canary = lambda loaded: replace(loaded, predictor=Flipped(loaded.predictor))
    never_enough = {**ROLLOUT, "requests": 100_000}
    problem = traffic.problem.model_copy(
        update={"rollout": type(traffic.problem.rollout).model_validate(never_enough)}
    )

    judged = []
    while len(judged) < 3 and "canary" in traffic.aliases():
        traffic.send(120)
        judged.append(look(problem))

    assert judged[-1] is not None
    assert judged[-1].outcome == "take back"
    assert traffic.aliases() == {"production": 1}
    assert traffic.tags(2)[TAG + "outcome"] == "taken back"
    assert traffic.tags(2)[TAG + "reason"] == judged[-1].reason
    wait_until(lambda: _events("perennial.canary.taken-back"), "the event")
    version = traffic.registry.version("reviews", 2)
    production = traffic.registry.production("reviews")
    with pytest.raises(OutsideError, match="was taken back"):
        canary.start(problem, traffic.registry, version, production)


def test_failures_take_a_canary_back_at_once(traffic: Traffic) -> None:
    traffic.send(60, feedback=0)
    traffic.fail(2, 15)

    judged = look(traffic.problem)

    assert judged is not None
    assert judged.outcome == "take back"
    assert "error rate" in judged.reason
    assert traffic.aliases() == {"production": 1}


def test_a_canary_is_taken_back_when_production_changes_under_it(traffic: Traffic) -> None:
    third = _register_again(traffic)
    traffic.registry.promote(third, expected=traffic.registry.production("reviews"))

    judged = look(traffic.problem)

    assert judged is not None
    assert (judged.outcome, traffic.aliases()) == (
        "take back",
        {"production": 3, "previous": 1},
    )
    assert "it is version 3" in judged.reason


def test_a_newer_version_takes_the_place_of_a_canary(traffic: Traffic) -> None:
    third = _register_again(traffic)

    canary.start(traffic.problem, traffic.registry, third, traffic.registry.production("reviews"))

    assert traffic.aliases() == {"production": 1, "canary": 3}
    assert traffic.tags(2)[TAG + "reason"] == "version 3 took its place"


def _register_again(traffic: Traffic) -> ModelVersion:
    """Register the good model once more, as another retraining would."""
    second = traffic.registry.version("reviews", 2)
    file = traffic.registry.fetch(second)
    model = traffic.registry.load(second)
    with traffic.registry.run("reviews", "again") as run_id:
        return traffic.registry.register("reviews", run_id, model, file.golden, tags={})


def test_a_canary_that_a_person_has_started_is_left_alone(traffic: Traffic) -> None:
    third = _register_again(traffic)
    traffic.registry.start_canary(third, share=0.1)

    assert look(traffic.problem) is None
    assert traffic.aliases()["canary"] == 3


def test_a_crash_between_note_and_alias_is_mended_by_the_next_look(traffic: Traffic) -> None:
    second = traffic.registry.version("reviews", 2)
    traffic.registry.tag(second, {"canary.step": "1"})

    judged = look(traffic.problem)

    assert judged is not None
    assert judged.outcome == "wait"
    assert traffic.tags(2)["perennial.canary.share"] == "0.5"

    traffic.registry.tag(second, {"canary.outcome": "taken back", "canary.reason": "too slow"})
    judged = look(traffic.problem)

    assert judged is not None
    assert (judged.outcome, judged.reason) == ("take back", "too slow")
    assert "canary" not in traffic.aliases()
