"""An experiment as a whole: everything is tried in its time, and the holdout is asked once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from ruamel.yaml import YAML

from flows.experiment import experiment
from flows.retrain import retrain
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.documents.documents import in_holdout
from perennial.errors import OutsideError
from perennial.inputs.identity import CURRENT_IDENTITY, content_hash
from perennial.settings import PROJECT, Settings
from perennial.stores import mongodb
from perennial.stores.measurements import COLLECTION
from tasks.experiment import process
from tasks.experiment.baseline import write_baseline
from tasks.experiment.report import ExperimentResult

pytestmark = pytest.mark.usefixtures("prefect_api")

EXPERIMENT: dict[str, Any] = {
    "folds": 2,
    "grid": {
        "preparation": "plain",
        "features": {"bow": {"weighting": "counts"}, "words": {"max_features": 200}},
        "estimators": {"svm": {"estimator": "nb_svm", "parameters": {"tol": 0.1}}},
    },
    "spaces": {"multinomial_naive_bayes": {"parameters": {"alpha": [0.5, 2.0]}}},
}
NAMES = {"bow-svm", "words-svm", "bow-bayes", "tfidf-logistic"}
# A forest that grows for hours.
ENDLESS = {
    "preparation": "plain",
    "features": {"weighting": "counts"},
    "estimator": "random_forest",
    "parameters": {"n_estimators": 10_000_000},
}


@pytest.fixture
def exploring(write_problem: Callable[..., Problem]) -> Problem:
    return write_problem(experiment=EXPERIMENT)


@pytest.fixture
def filled(exploring: Problem, mongodb_server: str, documents: Any) -> Iterator[Any]:
    """The collection of the problem with 300 reviews in it."""
    from pymongo import MongoClient

    with MongoClient(mongodb_server, tz_aware=True) as server:
        collection = server[exploring.source.database][exploring.source.collection]
        collection.insert_many(documents(300))
        yield collection
        server.drop_database(exploring.source.database)


def _runs(client: MlflowClient) -> dict[str, Any]:
    found = client.get_experiment_by_name("reviews")
    return {run.info.run_name: run for run in client.search_runs([found.experiment_id])}


def _figures(experimented: ExperimentResult) -> dict[str, Any]:
    return {
        each.name: [(tried.parameters, tried.metrics) for tried in each.tried]
        for each in experimented.results
    }


@pytest.mark.drawn
def test_every_candidate_is_compared_and_nothing_is_skipped(
    filled: Any,
    exploring: Problem,
    machine: Settings,
    client: MlflowClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = (machine.problems_dir / "reviews.yaml").read_text()

    experimented = experiment("reviews")

    assert {each.name for each in experimented.results} == NAMES
    assert {each.outcome for each in experimented.results} == {"complete"}
    accuracies = [each.best.metrics["accuracy"] for each in experimented.results if each.best]
    assert accuracies == sorted(accuracies, reverse=True)
    assert experimented.winner is experimented.results[0]
    bayes = next(each for each in experimented.results if each.name == "bow-bayes")
    assert [each.parameters for each in bayes.tried] == [{}, {"alpha": 0.5}, {"alpha": 2.0}]
    assert (machine.problems_dir / "reviews.yaml").read_text() == before

    runs = _runs(client)
    parent = runs.pop("experiment reviews")
    assert runs.keys() == NAMES
    parameters = {"candidate", "estimator", "preparation", "features.weighting", "seed"}
    for run in runs.values():
        assert run.info.status == parent.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["perennial.outcome"] == "complete"
        assert run.data.params.keys() >= parameters
        assert run.data.metrics.keys() >= {"cv.accuracy", "cv.log_loss", "fit.seconds"}
    asked = {name for name, run in runs.items() if "holdout.accuracy" in run.data.metrics}
    assert asked == {experimented.winner.name}
    files = {file.path for file in client.list_artifacts(parent.info.run_id, "plots")}
    assert files == {"plots/comparison.png", "plots/time-and-quality.png"}

    with get_client(sync_client=True) as api:
        keys = ["experiment-reviews", "experiment-reviews-table", "experiment-reviews-comparison"]
        named = ArtifactFilter(key=ArtifactFilterKey(any_=keys))
        assert {found.key for found in api.read_artifacts(artifact_filter=named)} == set(keys)
    assert "the winner is" in capsys.readouterr().out
    with mongodb.connect(machine) as server:
        kept = server[exploring.source.database][COLLECTION].find_one({"flow": "experiment"})
    assert {"name": "experiment_candidates", "value": 4.0, "labels": {"outcome": "complete"}} in (
        kept["figures"]
    )


@pytest.mark.e2e
def test_nothing_that_is_compared_depends_on_the_holdout(
    filled: Any, exploring: Problem, machine: Settings, run_task: Any
) -> None:
    first = experiment("reviews")

    # Every label of the holdout is turned round.
    for document in filled.find():
        hashes = pa.array([content_hash(document["text"], CURRENT_IDENTITY)], pa.binary())
        if in_holdout(hashes, exploring.holdout)[0]:
            filled.update_one({"_id": document["_id"]}, {"$set": {"label": 1 - document["label"]}})
    shutil.rmtree(machine.data_dir / "snapshots")
    second = experiment("reviews")

    assert _figures(second) == _figures(first)
    accuracy = second.evaluation.metrics["accuracy"].value
    assert accuracy == pytest.approx(1 - first.evaluation.metrics["accuracy"].value)


@pytest.mark.e2e
@pytest.mark.e2e
def test_the_winner_becomes_the_baseline_that_every_retraining_fits(
    filled: Any, machine: Settings, client: MlflowClient
) -> None:
    path = machine.problems_dir / "reviews.yaml"
    path.write_text("# about reviews\n" + path.read_text() + "\n# the end\n")

    winner = experiment("reviews", write=True).winner
    retraining = retrain("reviews")

    assert winner.best is not None
    written = load_problem(path)
    assert written.baseline == winner.name
    assert written.candidates[winner.name].parameters == winner.best.parameters
    assert path.read_text().startswith("# about reviews\n")
    assert path.read_text().endswith("# the end\n")
    (only,) = retraining.candidates
    assert only.name == winner.name
    assert retraining.verdict is not None
    assert retraining.verdict.outcome == "promoted"


def test_a_candidate_that_runs_out_of_its_time_is_stopped_and_says_so(
    write_problem: Callable[..., Problem],
    filled: Any,
    machine: Settings,
    client: MlflowClient,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = load_problem(machine.problems_dir / "reviews.yaml")
    content = YAML(typ="safe").load((machine.problems_dir / "reviews.yaml").read_text())
    content["candidates"] = {"endless-forest": ENDLESS, **content["candidates"]}
    content["experiment"] = {"folds": 2, "candidate_budget": "PT15S"}
    with (machine.problems_dir / "reviews.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    started: list[Any] = []
    popen = process.subprocess.Popen
    monkeypatch.setattr(
        process.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )

    experimented = experiment("reviews")

    (forest,) = (each for each in experimented.results if each.name == "endless-forest")
    assert (forest.outcome, forest.best) == ("out of time", None)
    assert all(each.poll() is not None for each in started)
    run = _runs(client)["endless-forest"]
    assert run.data.tags["perennial.outcome"] == "out of time"
    assert run.data.tags["perennial.reason"] == "stopped after 15 s"
    said = " ".join(capsys.readouterr().out.split())
    assert "stopped after" in said
    assert experimented.winner.name in spec.candidates


def test_without_any_time_it_says_which_budget_to_raise(
    write_problem: Callable[..., Problem], filled: Any, machine: Settings, client: MlflowClient
) -> None:
    path = machine.problems_dir / "reviews.yaml"
    path.write_text(path.read_text().replace("folds: 2", "folds: 2\n  budget: PT0.1S"))

    with pytest.raises(OutsideError, match=r"raise experiment.candidate_budget and experiment.bud"):
        experiment("reviews")

    runs = _runs(client)
    assert runs.pop("experiment reviews").info.status == "FAILED"
    assert {run.data.tags["perennial.outcome"] for run in runs.values()} == {"not reached"}


@pytest.mark.e2e
def test_what_fails_is_named_and_the_others_go_on(filled: Any, machine: Settings) -> None:
    path = machine.problems_dir / "reviews.yaml"
    content = YAML(typ="safe").load(path.read_text())
    content["candidates"]["bow-bayes"]["parameters"] = {"alpha": -1.0}
    content["experiment"] = {"folds": 2}
    with path.open("w") as file:
        YAML(typ="safe").dump(content, file)

    experimented = experiment("reviews")

    failed = experimented.results[-1]
    assert (failed.name, failed.outcome) == ("bow-bayes", "failed")
    assert "alpha" in failed.reason
    assert experimented.winner.name == "tfidf-logistic"


def test_a_committed_problem_keeps_its_comments_when_its_baseline_is_written(
    tmp_path: Path, run_task: Any
) -> None:
    source = PROJECT / "problems" / "sentiment.yaml"
    path = tmp_path / "sentiment.yaml"
    path.write_text(source.read_text())
    shutil.copytree(source.parent / "cases", tmp_path / "cases")
    problem = load_problem(path)
    forest = problem.for_experiment().candidates["bow-forest"]

    run_task(write_baseline, path, "bow-forest", forest)

    before, after = source.read_text().splitlines(), path.read_text().splitlines()
    lost = [line for line in before if line not in after and not line.startswith("baseline:")]
    assert lost == []
    written = load_problem(path)
    assert (written.baseline, written.candidates["bow-forest"]) == ("bow-forest", forest)
    assert written.experiment == problem.experiment
