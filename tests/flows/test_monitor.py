"""Monitoring as a whole: what a person is told, and when a retraining is asked for."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.states import Running, Scheduled
from pymongo import MongoClient
from ruamel.yaml import YAML

from flows.monitor import monitor
from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.reasons import Reason, ReasonCode
from perennial.registry.client import open_registry
from perennial.settings import Settings, get_serving_settings, get_settings
from perennial.status.facts import read_facts
from perennial.stores.measurements import COLLECTION
from tasks.monitoring.alarm import is_retraining
from tasks.monitoring.report import REPORT
from tasks.monitoring.result import MonitorResult
from tasks.monitoring.summary import advice
from tasks.orchestration.flow_lock import turn
from tests.conftest import SMALL_PROBLEM, copy_mlflow, forget_mlflow, wait_until

pytestmark = pytest.mark.usefixtures("prefect_api")

# As people name their sources: with what MLflow does not take in the name of a metric.
PARTNER = "Mill & Co, 2/3 (€)"
BUSINESS = (
    *("quarterly", "revenue", "semiconductor", "division", "percent", "fiscal", "audit"),
    *("ledger", "shareholder", "dividend", "inventory", "supplier", "tariff", "logistics"),
    *("warehouse", "merger", "compliance", "invoice", "pension", "bond", "yield"),
    *(
        "treasury",
        "liquidity",
        "forecast",
        "margin",
        "procurement",
        "turnover",
        "subsidiary",
        "equity",
    ),
)


@dataclass(frozen=True)
class Trained:
    """What a retraining on 400 reviews has left."""

    data: Path
    documents: list[dict[str, Any]]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    mongodb_server: str,
    empty_mlflow: Path,
    documents: Any,
    prefect_api: str,
) -> Trained:
    """A data folder with a Production version, to be copied."""
    folder, database = tmp_path_factory.mktemp("trained"), f"test_{uuid4().hex}"
    (folder / "data" / "mlflow").mkdir(parents=True)
    copy_mlflow(empty_mlflow, folder / "data")
    content = SMALL_PROBLEM | {"source": SMALL_PROBLEM["source"] | {"database": database}}
    with (folder / "reviews.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    given = documents(400)
    with (
        MongoClient[dict[str, Any]](mongodb_server) as client,
        pytest.MonkeyPatch.context() as patch,
    ):
        client[database]["reviews"].insert_many(given)
        patch.setenv("DATA_DIR", str(folder / "data"))
        patch.setenv("PROBLEMS_DIR", str(folder))
        patch.setenv("MONGODB_URI", mongodb_server)
        get_settings.cache_clear()
        verdict = retrain("reviews").verdict
        client.drop_database(database)
    forget_mlflow()
    assert verdict is not None
    assert verdict.outcome == "promoted"
    return Trained(folder / "data", given)


@pytest.fixture
def problem(write_problem: Callable[..., Problem]) -> Problem:
    """Short film reviews, of which few are enough to compare."""
    return write_problem(monitoring={"min_documents": 60})


@pytest.fixture
def production(
    trained: Trained,
    machine: Settings,
    problem: Problem,
    collection: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    """The collection of a problem that has a Production version, trained on 400 reviews."""
    monkeypatch.setenv("SERVING_LOG_DATABASE", problem.source.database)
    get_serving_settings.cache_clear()
    shutil.copytree(trained.data, machine.data_dir, dirs_exist_ok=True)
    collection.insert_many(trained.documents)
    yield collection
    get_serving_settings.cache_clear()


@pytest.fixture
def log(production: Any) -> Any:
    """The service's log of predictions."""
    return production.database["predictions"]


def _monitor() -> MonitorResult:
    monitored = monitor("reviews")
    assert monitored is not None
    return monitored


def _strange(count: int) -> list[dict[str, Any]]:
    """Documents that have nothing to do with films, created now."""
    now, chance = datetime.now(UTC), random.Random(1)
    return [
        {
            "_id": f"strange-{number}",
            "text": " ".join(chance.sample(BUSINESS, 12)),
            "label": number % 2,
            "created_at": now,
            "source": "test",
        }
        for number in range(count)
    ]


def _predictions(
    texts: list[str], *, version: int, at: datetime, truth: str | None = None
) -> list[dict[str, Any]]:
    """Entries as the service logs them, all of them positive; feedback comes an hour later."""
    told = {"feedback": {"label": truth, "created_at": at + timedelta(hours=1)}} if truth else {}
    return [
        {
            "_id": f"{version}-{at.isoformat()}-{number}",
            "problem": "reviews",
            "version": version,
            "label": "positive",
            "probability": 0.9,
            "characters": len(text),
            "created_at": at,
            "text": text,
            **told,
        }
        for number, text in enumerate(texts)
    ]


def _answered(found: list[dict[str, Any]], at: datetime) -> list[dict[str, Any]]:
    """Entries about documents as Production answers them, without feedback."""
    registry = open_registry(get_settings())
    model = registry.load(registry.require_production("reviews"))
    texts = [each["text"] for each in found]
    entries = _predictions(texts, version=1, at=at)
    for entry, label, shares in zip(
        entries, model.predict(texts), model.predict_proba(texts), strict=True
    ):
        entry |= {"label": str(label), "probability": float(shares.max())}
    return entries


def _events(address: str, problem: Problem, since: datetime) -> list[dict[str, Any]]:
    """Return the drift events that Prefect's feed has about the problem."""
    wanted = {
        "occurred": {"since": since.isoformat()},
        "event": {"name": ["perennial.problem.drifted"]},
        "resource": {"id": [f"perennial.problem.{problem.name}"]},
    }
    answer = httpx.post(f"{address}/events/filter", json={"filter": wanted}, timeout=30)
    return list(answer.raise_for_status().json()["events"])


def test_a_problem_without_production_is_not_watched_and_nothing_fails(collection: Any) -> None:
    assert monitor("reviews") is None
    assert COLLECTION not in collection.database.list_collection_names()


@pytest.mark.drawn
def test_more_of_the_same_is_no_drift_and_the_report_is_kept_everywhere(
    problem: Problem, production: Any, documents: Any, machine: Settings
) -> None:
    now = datetime.now(UTC)
    production.insert_many(documents(300, first=400, at=now, every=timedelta(0)))

    monitored = _monitor()

    assert len(monitored.recent.documents) == 300
    assert {test.name for test in monitored.drift.tests} == {
        "words",
        "length",
        "unknown_words",
        "labels",
        "predicted_labels",
        "confidence",
        "accuracy",
    }
    assert not monitored.drift.found
    assert not monitored.alarm.raised
    assert 0 <= monitored.freshness.newest_document < 300
    assert monitored.quality.documents.low < monitored.quality.documents.value

    client = MlflowClient(f"sqlite:///{machine.data_dir / 'mlflow' / 'mlflow.db'}")
    run_id = open_registry(machine).find_run("reviews", {"kind": "monitor"})
    assert run_id is not None
    assert [file.path for file in client.list_artifacts(run_id)] == [REPORT]
    assert "drift_score.documents.words" in client.get_run(run_id).data.metrics
    with get_client(sync_client=True) as prefect:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["monitor-reviews"]))
        newest, *_ = prefect.read_artifacts(
            artifact_filter=key, sort=ArtifactSort.CREATED_DESC, limit=1
        )
    assert "no drift" in str(newest.description)
    measured = production.database[COLLECTION].find_one({"_id": "monitor reviews"})
    names = {figure["name"] for figure in measured["figures"]}
    assert {"drift_score", "arrived_accuracy", "production_age_seconds"} <= names


def test_documents_from_feedback_are_no_measure_of_what_has_come(
    production: Any, documents: Any
) -> None:
    now = datetime.now(UTC)
    wrong = documents(150, first=400, at=now - timedelta(seconds=1), every=timedelta(0))
    production.insert_many(
        documents(200, first=600, at=now - timedelta(hours=1), every=timedelta(0))
    )
    production.insert_many(
        document | {"_id": f"feedback:{document['_id']}", "label": 1 - document["label"]}
        for document in wrong[:100]
    )
    production.insert_many(document | {"source": "feedback"} for document in wrong[100:])

    monitored = _monitor()

    assert (monitored.recent.arrived, len(monitored.recent.documents)) == (350, 200)
    assert not monitored.drift.found


@pytest.mark.usefixtures("production")
def test_a_second_run_adds_to_the_run_of_the_version_it_watches(machine: Settings) -> None:
    _monitor()
    _monitor()

    client = MlflowClient(f"sqlite:///{machine.data_dir / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("reviews")
    runs = client.search_runs([experiment.experiment_id], "tags.`perennial.kind` = 'monitor'")
    assert len(runs) == 1
    history = client.get_metric_history(runs[0].info.run_id, "recent_documents")
    assert [point.value for point in history] == [0.0, 0.0]


@pytest.mark.e2e
def test_other_documents_raise_the_event_once_until_production_changes(
    problem: Problem, production: Any, prefect_api: str, machine: Settings
) -> None:
    since = datetime.now(UTC)
    production.insert_many(_strange(200))

    first, second = _monitor(), _monitor()

    assert {"words", "length", "unknown_words"} <= {test.name for test in first.drift.found}
    assert first.alarm.raised
    assert not second.alarm.raised
    assert second.drift.found
    (event,) = wait_until(lambda: _events(prefect_api, problem, since), "the event arrives")
    assert event["payload"]["version"] == 1
    assert "words of documents" in event["payload"]["reason"]

    retraining = retrain("reviews", force=True)
    registry = open_registry(machine)
    challenger = registry.version("reviews", retraining.verdict.challenger)
    registry.promote(challenger, expected=registry.production("reviews"))

    after = _monitor()
    assert after.alarm.alarm.version == challenger.version
    assert not after.drift.found
    assert len(after.recent.documents) == 0


def test_the_event_waits_while_a_retraining_is_under_way(production: Any) -> None:
    production.insert_many(_strange(200))
    # Another problem's retraining is nobody's business here.
    with turn("retrain", "flowers"):
        with turn("retrain", "reviews"):
            waiting = _monitor()
        raised = _monitor()

        assert is_retraining("flowers", datetime.now(UTC))

    assert waiting.drift.found
    assert not waiting.alarm.raised
    assert "under way" in waiting.alarm.reason
    assert raised.alarm.raised


def test_a_retraining_that_waits_for_a_worker_counts_and_one_that_was_killed_does_not() -> None:
    with get_client(sync_client=True) as prefect:
        # Nobody has told Prefect that its process is gone.
        killed = prefect.create_flow_run(retrain, parameters={"problem": "reviews"})
        prefect.set_flow_run_state(killed.id, Running(), force=True)
        assert not is_retraining("reviews", datetime.now(UTC))

        waits = prefect.create_flow_run(
            retrain, parameters={"problem": "reviews"}, state=Scheduled()
        )
        assert is_retraining("reviews", datetime.now(UTC))

        for run in (killed, waits):
            prefect.delete_flow_run(run.id)
    assert not is_retraining("reviews", datetime.now(UTC))


def test_predictions_are_compared_with_what_production_said_on_its_holdout(
    log: Any, documents: Any
) -> None:
    texts = [document["text"] for document in documents(200, first=400)]
    now = datetime.now(UTC)
    # The second time the same text is asked about tells nothing new.
    log.insert_many(_predictions(texts, version=1, at=now))
    log.insert_many(_predictions(texts, version=1, at=now - timedelta(minutes=1)))

    monitored = _monitor()

    assert len(monitored.recent.predictions) == 200
    found = {test.name for test in monitored.drift.found}
    assert {"predicted_labels", "confidence"} <= found
    assert not {"words", "length", "unknown_words"} & found
    assert {test.of for test in monitored.drift.tests} == {"predictions"}
    assert "predictions" in monitored.quality.estimated


def test_feedback_counts_for_the_time_and_the_version_of_its_prediction(
    log: Any, documents: Any
) -> None:
    texts = [document["text"] for document in documents(100)]
    now = datetime.now(UTC)
    old, new = now - timedelta(days=3), now - timedelta(hours=2)
    log.insert_many(_predictions(texts[:60], version=0, at=old, truth="negative"))
    log.insert_many(_predictions(texts[:20], version=1, at=old, truth="negative"))
    log.insert_many(_predictions(texts[20:70], version=1, at=new, truth="positive"))
    log.insert_many(_predictions(texts[70:], version=1, at=new + timedelta(minutes=1)))

    def live() -> dict[tuple[int, int], tuple[int, float]]:
        return {
            (each.version, each.look_back.days): (each.known, each.accuracy.value)
            for each in _monitor().quality.live
        }

    before = live()
    assert before == {
        (1, 1): (50, 1.0),
        (1, 7): (70, 50 / 70),
        (1, 30): (70, 50 / 70),
        (0, 7): (60, 0.0),
        (0, 30): (60, 0.0),
    }

    # Labels that come now for answers of three days ago change those days, and not today.
    log.insert_many(
        [
            entry | {"feedback": {"label": "positive", "created_at": now}}
            for entry in _predictions(texts[:10], version=1, at=old + timedelta(minutes=1))
        ]
    )

    after = live()
    assert after[1, 1] == before[1, 1]
    assert after[1, 7] == (80, 60 / 80)


def test_wrong_answers_alone_are_drift_when_feedback_says_so(log: Any, documents: Any) -> None:
    texts = [document["text"] for document in documents(200, first=400)]
    now = datetime.now(UTC) - timedelta(hours=2)
    entries = _predictions(texts, version=1, at=now, truth="negative")
    # As sure and as balanced as on the holdout: only the truth is another.
    log.insert_many(entries)

    monitored = _monitor()

    assert "accuracy" in {test.name for test in monitored.drift.found}
    assert monitored.alarm.raised


def test_a_burst_of_near_copies_is_one_document_and_no_drift(
    production: Any, documents: Any
) -> None:
    now = datetime.now(UTC)
    production.insert_many(
        documents(150, first=400, at=now - timedelta(hours=1), every=timedelta(0))
    )
    spam = "quarterly revenue of the semiconductor division has risen by {} percent this year"
    production.insert_many(
        {
            "_id": f"spam-{number}",
            "text": spam.format(number),
            "label": 0,
            "created_at": now - timedelta(minutes=number),
            "source": "test",
        }
        for number in range(150)
    )

    monitored = _monitor()

    assert monitored.recent.arrived == 300
    assert len(monitored.recent.documents) <= 152
    assert not monitored.drift.found


def test_one_sender_alone_is_named_and_starts_no_retraining(
    log: Any, documents: Any, prefect_api: str, problem: Problem
) -> None:
    since = datetime.now(UTC)
    at = since - timedelta(hours=1)
    usual = _answered(documents(200, first=400), at)
    strange = _predictions([each["text"] for each in _strange(150)], version=1, at=since)
    log.insert_many([entry | {"key": f"{n % 40:064x}"} for n, entry in enumerate(usual)])
    log.insert_many([entry | {"key": "feed" * 16} for entry in strange])

    monitored = _monitor()

    assert {"words", "unknown_words"} <= {test.name for test in monitored.drift.found}
    assert not monitored.drift.counted
    assert not monitored.alarm.raised
    assert "one sender, request key feedfeedfeed, who sent 150 of 350" in monitored.alarm.reason
    assert not _events(prefect_api, problem, since)


def test_two_senders_who_both_ask_of_something_else_are_drift(log: Any, documents: Any) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    strange = _predictions([each["text"] for each in _strange(200)], version=1, at=at)
    log.insert_many([entry | {"key": f"{n % 2:064x}"} for n, entry in enumerate(strange)])

    monitored = _monitor()

    assert monitored.drift.counted
    assert monitored.alarm.raised


def test_new_documents_have_an_accuracy_by_source(
    problem: Problem, production: Any, documents: Any
) -> None:
    now = datetime.now(UTC)
    for source, first in (("archive", 400), (PARTNER, 500)):
        found = documents(100, first=first, at=now, every=timedelta(0))
        # The archive says what Production does, the partner the contrary.
        right = [entry["label"] == "positive" for entry in _answered(found, now)]
        production.insert_many(
            each | {"source": source, "label": int(positive) ^ (source == PARTNER)}
            for each, positive in zip(found, right, strict=True)
        )

    monitored = _monitor()

    parts = {each.name: each for each in monitored.quality.parts}
    assert parts.keys() == {"source archive", f"source {PARTNER}"}
    assert parts[f"source {PARTNER}"].documents == 100
    assert parts[f"source {PARTNER}"].accuracy.high < parts["source archive"].accuracy.low
    said = " ".join(advice(problem, monitored))
    assert "On some recent documents version 1 is worse than on most: source Mill & Co" in said
    (facts,) = read_facts(get_settings(), now, ["reviews"])
    fresh = dict(facts.fresh)
    assert fresh[f"source {PARTNER}"].answers == 100
    assert fresh[f"source {PARTNER}"].value < fresh[""].value < fresh["source archive"].value


def test_too_few_documents_and_unusable_ones_are_said_to_be_so(
    production: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    production.insert_many([entry | {"label": 7} for entry in _strange(30)])

    monitored = _monitor()

    assert not monitored.drift.tests
    assert not monitored.alarm.raised
    assert monitored.recent.unusable == {Reason(ReasonCode.UNKNOWN_LABEL, "label"): 30}
    assert "too little has come" in capsys.readouterr().out
    with get_client(sync_client=True) as prefect:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["monitor-reviews"]))
        texts = [artifact.data for artifact in prefect.read_artifacts(artifact_filter=key)]
    assert any("30 recent documents cannot be used" in str(text) for text in texts)
