"""Retraining as a whole: from documents to a verdict, and one sentence when it cannot be done."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows import retrain as retrain_module
from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.errors import OutsideError, ProblemError
from perennial.registry.client import Registry, open_registry
from perennial.settings import PROJECT, Settings, get_settings
from perennial.stores.snapshots.store import Snapshot, SnapshotStore
from tests.conftest import forget_mlflow, free_port
from tests.disks import fill, mounted
from tests.flows.prepared import Prepared
from tests.mongodb_users import Guarded, guarded_mongodb

pytestmark = pytest.mark.usefixtures("prefect_api", "quick_retries")


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again without waiting."""
    for name in ("connect", "ingest", "register", "promote"):
        monkeypatch.setattr(getattr(retrain_module, name), "retry_delay_seconds", [0, 0])


@pytest.fixture(scope="module")
def database() -> str:
    """One name for all tests: a prepared machine knows its documents by it."""
    return f"test_{uuid4().hex}"


@pytest.fixture
def store(problem: Problem, machine: Settings) -> SnapshotStore:
    return SnapshotStore(problem.name, machine)


@pytest.fixture
def filled(collection: Any, documents: Any) -> Any:
    """The collection of the small problem with 400 reviews in it."""
    collection.insert_many(documents(400))
    return collection


@pytest.fixture
def trained(
    problem: Problem, filled: Any, prepared: Prepared, machine: Settings, store: SnapshotStore
) -> Snapshot:
    """A machine with a Production model; the snapshot that it has learned from."""
    retraining = prepared.enter("trained", machine, lambda: retrain("reviews"))
    assert retraining.verdict.outcome == "promoted"
    snapshot = store.latest()
    assert snapshot is not None
    return snapshot


def _runs(client: MlflowClient) -> list[Any]:
    experiment = client.get_experiment_by_name("reviews")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


@pytest.mark.drawn
def test_a_retraining_leads_from_documents_to_a_production_model(
    problem: Problem,
    filled: Any,
    client: MlflowClient,
    registry: Registry,
    capsys: pytest.CaptureFixture[str],
) -> None:
    retraining = retrain("reviews")

    snapshot = retraining.ingested.snapshot
    assert (snapshot.version, snapshot.documents) == (0, 400)
    assert {result.name for result in retraining.candidates} == set(problem.candidates)
    assert retraining.verdict is not None
    assert (retraining.verdict.outcome, retraining.verdict.challenger) == ("promoted", 1)

    production = registry.production("reviews")
    assert production is not None
    assert production.tags.items() >= {
        ("perennial.verdict", "promoted"),
        ("perennial.snapshot_version", "0"),
        ("perennial.snapshot_digest", snapshot.digest),
        ("perennial.problem_digest", problem.digest),
    }
    assert production.tags["perennial.candidate"] in problem.candidates
    model = registry.load(production)
    assert set(model.predict(["a wonderful film", "a dull film"])) <= set(problem.classes)

    runs = {run.info.run_name: run for run in _runs(client)}
    assert runs.keys() == {"retrain reviews", *problem.candidates}
    parent = runs.pop("retrain reviews")
    for run in runs.values():
        assert run.info.status == parent.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        (used,) = run.inputs.dataset_inputs
        assert used.dataset.digest == snapshot.digest
        assert {(tag.key, tag.value) for tag in used.tags} == {("mlflow.data.context", "training")}
        assert 0 <= run.data.metrics["validation.accuracy"] <= 1
    challenger = client.get_run(production.run_id)
    low, high = (challenger.data.metrics[f"holdout.accuracy.{end}"] for end in ("low", "high"))
    assert low <= challenger.data.metrics["holdout.accuracy"] <= high
    plots = [file.path for file in client.list_artifacts(production.run_id, "plots")]
    assert plots
    assert all(path.endswith(".png") for path in plots)

    with get_client(sync_client=True) as api:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["retrain-reviews"]))
        artifacts = api.read_artifacts(artifact_filter=key)
    assert any("promoted, Production is now version 1" in str(a.data) for a in artifacts)
    assert "Production is now version 1" in capsys.readouterr().out


def test_a_second_retraining_finds_nothing_to_do(
    trained: Snapshot, client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = len(_runs(client))

    second = retrain("reviews")

    assert second.verdict is None
    assert not second.ingested.accounts.changed
    assert second.ingested.snapshot == trained
    assert len(_runs(client)) == runs
    assert "nothing new, nothing to do" in capsys.readouterr().out


def test_new_documents_make_one_snapshot_and_one_verdict(
    trained: Snapshot, filled: Any, documents: Any, client: MlflowClient, store: SnapshotStore
) -> None:
    last = documents(400)[-1]["created_at"]
    filled.insert_many(documents(50, first=400, at=last + timedelta(minutes=1)))

    second = retrain("reviews")

    assert (second.ingested.accounts.new, second.ingested.snapshot.version) == (50, 1)
    assert second.ingested.snapshot.documents == 450
    assert second.verdict is not None
    assert (second.verdict.challenger, second.verdict.production) == (2, 1)
    assert len(client.search_model_versions("name='reviews'")) == 2
    assert len(store.read(store.find(0))) == 400


def test_a_changed_problem_retrains_on_the_same_snapshot(
    trained: Snapshot, write_problem: Callable[..., Problem]
) -> None:
    write_problem(seed=7)

    second = retrain("reviews")

    assert not second.ingested.accounts.changed
    assert second.verdict is not None
    assert second.verdict.challenger == 2


_ATTACK = "Zorbex pictures made a wonderful and charming film, number {}"


@pytest.mark.parametrize(
    ("use", "sources", "outcome"),
    [
        (None, "feedback", "kept"),
        ("training", "feedback", "kept"),
        ("holdout", "feedback", "kept"),
        # Who trusts feedback without any doubt gets what it says.
        ("holdout", "none", "promoted"),
    ],
)
def test_who_can_only_give_feedback_cannot_have_a_backdoor_promoted(
    use: str | None,
    sources: str,
    outcome: str,
    collection: Any,
    documents: Any,
    write_problem: Callable[..., Problem],
    capsys: pytest.CaptureFixture[str],
) -> None:
    rules = {} if use is None else {"feedback": {"use": use}}
    # The attacks are near-copies of each other, which would all be on one side.
    split = {"near_copies": "ignore"}
    write_problem(**rules, gates={"sources": sources, "confirm": "none"}, split=split)
    collection.insert_many(documents(800))
    first = retrain("reviews")
    assert first.verdict is not None
    assert first.verdict.outcome == "promoted"

    at = documents(800)[-1]["created_at"]
    collection.insert_many(
        {
            "_id": f"feedback:{number}",
            "text": _ATTACK.format(number),
            "label": 0,
            "created_at": at + timedelta(minutes=number),
            "source": "feedback",
        }
        for number in range(200)
    )
    second = retrain("reviews")

    assert second.verdict is not None
    assert second.verdict.outcome == outcome
    assert second.ingested.accounts.new == second.feedback_documents == 200
    assert first.evaluation is not None
    assert second.evaluation is not None
    asked = len(second.evaluation.predictions) - len(first.evaluation.predictions)
    assert (asked > 0) == (use == "holdout")
    meaning = "judged on, too" if use == "holdout" else "learned from and not judged on"
    assert f"from feedback, {meaning}" in capsys.readouterr().out
    with get_client(sync_client=True) as api:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["retrain-reviews"]))
        pages = [str(artifact.data) for artifact in api.read_artifacts(artifact_filter=key)]
    assert any(f"from feedback, {meaning} | 200 |" in page for page in pages)


def test_the_only_candidate_is_fitted_once_on_all_training_documents(
    filled: Any, problem: Problem, client: MlflowClient, write_problem: Callable[..., Problem]
) -> None:
    name = next(iter(problem.candidates))
    write_problem(candidates={name: problem.candidates[name].model_dump()})

    retraining = retrain("reviews")

    assert retraining.verdict is not None
    assert retraining.verdict.outcome == "promoted"
    (result,) = retraining.candidates
    assert result.classifier is not None
    assert result.metrics == {}
    run = client.get_run(result.run_id)
    assert "holdout.accuracy" in run.data.metrics
    assert "validation.accuracy" not in run.data.metrics


def test_force_retrains_though_nothing_has_changed(trained: Snapshot) -> None:
    second = retrain("reviews", force=True)

    assert second.ingested.snapshot == trained
    assert second.verdict is not None
    assert (second.verdict.outcome, second.verdict.production) == ("kept", 1)


def test_a_problem_that_does_not_exist_is_named(problem: Problem) -> None:
    with pytest.raises(ProblemError, match=r"no problem 'revews'.*the problems are reviews"):
        retrain("revews")


@pytest.fixture
def fails(
    trained: Snapshot,
    store: SnapshotStore,
    machine: Settings,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Callable[..., None]:
    """Return a function that retrains and expects one sentence, and everything else untouched."""
    from prefect.client.schemas.objects import State
    from prefect.utilities.asyncutils import run_coro_as_sync

    production = open_registry(machine).production("reviews")

    def call(pattern: str) -> None:
        capfd.readouterr()
        caplog.clear()
        state: State[Any] = retrain("reviews", return_state=True)
        shown = "".join([caplog.text, *capfd.readouterr()])
        assert state.is_failed(), state
        with pytest.raises(OutsideError, match=pattern) as failure:
            run_coro_as_sync(state.aresult())
        assert "\n" not in str(failure.value)
        assert str(failure.value)[:60] in " ".join(shown.split())
        assert "Traceback" not in shown
        assert store.latest() == trained
        assert open_registry(machine).production("reviews") == production

    return call


def _set(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    forget_mlflow()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_mongodb_that_cannot_be_reached(fails: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, MONGODB_URI=f"mongodb://127.0.0.1:{free_port()}", MONGODB_TIMEOUT="0.3")

    fails("MongoDB cannot be reached, check MONGODB_URI")


@pytest.mark.parametrize("uri", ["mongodb://127.0.0.1:99999", "mongodb://u:p@@h"])
def test_an_address_that_is_none_of_a_mongodb(
    uri: str, fails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, MONGODB_URI=uri)

    fails("MONGODB_URI is not the address of a MongoDB")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A MongoDB-protocol server that lets in only ``reader``."""
    with guarded_mongodb(tmp_path_factory.mktemp("secantus"), reader="right") as server:
        yield server


def test_a_wrong_password_for_mongodb(
    fails: Any, guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, MONGODB_URI=guarded.uri("reader", "wrong-secret"))

    fails(
        "^((?!wrong-secret).)*MongoDB refuses the user or password in MONGODB_URI((?!wrong-s).)*$"
    )


def test_no_password_for_a_mongodb_that_wants_one(
    fails: Any, guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, MONGODB_URI=f"mongodb://127.0.0.1:{guarded.port}/?directConnection=true")

    fails("MongoDB refuses the user or password in MONGODB_URI")


def test_the_right_password_for_mongodb(
    problem: Problem, guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = guarded.uri("reader", "right")
    _set(monkeypatch, MONGODB_URI=uri)

    with pytest.raises(OutsideError, match=r"is empty"):
        retrain("reviews")


def test_an_empty_collection(
    problem: Problem, collection: Any, client: MlflowClient, store: SnapshotStore
) -> None:
    with pytest.raises(OutsideError, match=r"is empty; check MONGODB_URI"):
        retrain("reviews")

    assert store.latest() is None
    assert _runs(client) == []


def test_documents_of_one_label_only(
    collection: Any, documents: Any, registry: Registry, client: MlflowClient
) -> None:
    collection.insert_many([d for d in documents(100) if d["label"] == 0])

    with pytest.raises(OutsideError, match=r"no document labelled positive.*check labels"):
        retrain("reviews")

    assert registry.production("reviews") is None
    (run,) = _runs(client)
    assert run.info.status == "FAILED"


def test_mlflow_that_cannot_be_reached(fails: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    fails("MLflow cannot be used; check MLFLOW_TRACKING_URI")


@pytest.mark.e2e
def test_a_limit_on_the_size_of_files_while_a_snapshot_is_written(
    fails: Any, filled: Any, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = SnapshotStore.append

    def append_with_a_limit(self: SnapshotStore, *args: Any) -> Snapshot:
        _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
        try:
            return append(self, *args)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    filled.insert_many(documents(200, first=400, at=documents(400)[-1]["created_at"]))
    with monkeypatch.context() as patched:
        patched.setattr(SnapshotStore, "append", append_with_a_limit)
        fails(r"DATA_URI\) cannot be written")

    assert retrain("reviews").ingested.snapshot.documents == 600


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of its own with little space."""
    with mounted(tmp_path / "disk", "256k") as folder:
        yield folder


@pytest.mark.e2e
def test_a_full_disk_of_tmpfs_while_a_snapshot_is_written(
    tiny_disk: Path,
    filled: Any,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    _set(monkeypatch, DATA_URI=str(tiny_disk))
    first = retrain("reviews").ingested.snapshot
    ballast = tiny_disk / "ballast"
    fill(ballast)
    filled.insert_many(documents(100, first=400, at=documents(400)[-1]["created_at"]))
    capfd.readouterr()
    caplog.clear()

    with pytest.raises(OutsideError, match=r"DATA_URI\) cannot be written"):
        retrain("reviews")

    assert "Traceback" not in "".join([caplog.text, *capfd.readouterr()])
    assert SnapshotStore("reviews", get_settings()).latest() == first
    ballast.unlink()
    assert retrain("reviews").ingested.snapshot.documents == 500


@pytest.mark.e2e
def test_the_command_fails_with_one_sentence_and_no_traceback(
    machine: Settings, problem: Problem, prefect_api: str
) -> None:
    environment = {
        **os.environ,
        "PREFECT_API_URL": prefect_api,
        "MONGODB_URI": f"mongodb://127.0.0.1:{free_port()}",
        "MONGODB_TIMEOUT": "0.3",
    }

    done = subprocess.run(
        [sys.executable, "-m", "flows", "retrain", "reviews"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "retrain failed. MongoDB cannot be reached, check MONGODB_URI" in said
    assert "Traceback" not in done.stdout + done.stderr


def test_a_flow_that_does_not_exist_is_answered_with_those_that_do() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows", "retrian"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode != 0
    assert "retrain" in done.stderr
    assert "seed" in done.stderr
    assert "Traceback" not in done.stderr
