"""Passengers: a table of few fields, in which equal records are many and disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pytest
from ruamel.yaml import YAML
from sklearn.metrics import roc_auc_score

from flows.retrain import retrain
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.settings import Settings
from perennial.splits.split import SplitRule, split_documents
from perennial.stores.snapshots.store import SnapshotStore
from tests.conftest import MIDNIGHT, MINUTE

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.usefixtures("prefect_api")

# Of those aboard the Titanic by class, age and sex: how many died, and how many survived.
COUNTS: dict[tuple[str, ...], tuple[int, int]] = {
    ("1st", "child", "male"): (0, 5),
    ("2nd", "child", "male"): (0, 11),
    ("3rd", "child", "male"): (35, 13),
    ("1st", "child", "female"): (0, 1),
    ("2nd", "child", "female"): (0, 13),
    ("3rd", "child", "female"): (17, 14),
    ("1st", "adult", "male"): (118, 57),
    ("2nd", "adult", "male"): (154, 14),
    ("3rd", "adult", "male"): (387, 75),
    ("crew", "adult", "male"): (670, 192),
    ("1st", "adult", "female"): (4, 140),
    ("2nd", "adult", "female"): (13, 80),
    ("3rd", "adult", "female"): (89, 76),
    ("crew", "adult", "female"): (3, 20),
}
FIELDS = ("status", "age", "sex")
PROBLEM: dict[str, Any] = {
    "source": {"database": "", "collection": "passengers"},
    "inputs": dict.fromkeys(FIELDS, "category"),
    "labels": {"died": 0, "survived": 1},
    "metric": "roc_auc",
    "candidates": {
        "logistic": {"estimator": "logistic_regression"},
        "forest": {"estimator": "random_forest"},
    },
    "gates": {"floors": {"roc_auc": 0.5}},
}


@pytest.fixture
def load(machine: Settings, mongodb_server: str) -> Iterator[Callable[..., Problem]]:
    """Return a function that writes the problem's file; everybody aboard is in its collection."""
    from pymongo import MongoClient

    database = f"test_{uuid4().hex}"

    def one(**changes: Any) -> Problem:
        path = machine.problems_dir / "passengers.yaml"
        with path.open("w") as file:
            source = PROBLEM["source"] | {"database": database}
            YAML(typ="safe").dump(PROBLEM | {"source": source} | changes, file)
        return load_problem(path)

    rows = [
        dict(zip(FIELDS, cell, strict=True)) | {"label": label}
        for cell, counts in COUNTS.items()
        for label, count in enumerate(counts)
        for _ in range(count)
    ]
    for number, row in enumerate(rows):
        row |= {"_id": number, "created_at": MIDNIGHT + number * MINUTE, "party": number % 300}
    with MongoClient(mongodb_server) as client:
        client[database]["passengers"].insert_many(rows)
        yield one
        client.drop_database(database)


def test_everybody_counts_and_it_is_said_how_good_anyone_can_be(
    load: Callable[..., Problem],
    machine: Settings,
    capsys: pytest.CaptureFixture[str],
    client: MlflowClient,
) -> None:
    problem = load()

    retraining = retrain("passengers")

    accounts = retraining.ingested.accounts
    assert (accounts.used, accounts.duplicates, accounts.in_quarantine) == (2201, 0, {})
    split = retraining.split
    assert split is not None
    assert split.training + split.holdout == 2201
    snapshot = SnapshotStore("passengers", machine).read(retraining.ingested.snapshot)
    held = _held_out(problem, snapshot)
    # Equal records are on one side, so that the holdout has what no version has learned.
    assert len(held) == split.holdout == sum(sum(COUNTS[cell]) for cell in {c for c, _ in held})

    right = sum(max(COUNTS[cell]) for cell in {cell for cell, _ in held}) / len(held)
    assert client.get_run(retraining.run_id).data.metrics["split.holdout.best_accuracy"] == right
    assert f"exceed an accuracy of {right:.4f}" in _unwrapped(capsys.readouterr().out)
    assert retraining.evaluation is not None
    assert retraining.evaluation.metrics["accuracy"].value <= right


@pytest.mark.parametrize("split", [{"by": "document"}, {"by": "group", "field": "party"}])
def test_where_equal_records_are_different_cases_no_model_could_rank_the_holdout_much_better(
    split: dict[str, str], load: Callable[..., Problem], machine: Settings
) -> None:
    problem = load(split=split)

    retraining = retrain("passengers")

    assert retraining.split is not None
    assert retraining.split.training + retraining.split.holdout == 2201
    snapshot = SnapshotStore("passengers", machine).read(retraining.ingested.snapshot)
    held = _held_out(problem, snapshot)
    assert len(held) == retraining.split.holdout
    # Nobody can rank better than by what is true of everybody aboard with these values.
    shares = [COUNTS[cell][1] / sum(COUNTS[cell]) for cell, _ in held]
    best = roc_auc_score([label == "survived" for _, label in held], shares)
    assert retraining.evaluation is not None
    assert retraining.evaluation.metrics["roc_auc"].value >= best - 0.02
    assert best > 0.7


def test_the_report_says_what_to_write_where_equal_records_are_many(
    load: Callable[..., Problem], capsys: pytest.CaptureFixture[str]
) -> None:
    load()

    retrain("passengers")

    printed = _unwrapped(capsys.readouterr().out)
    assert "2,201 documents have only 14 different inputs" in printed
    assert "write split: {by: document}" in printed


def _held_out(problem: Problem, snapshot: pa.Table) -> list[tuple[tuple[str, ...], str]]:
    """Return cell and label of everybody in the holdout."""
    sides = split_documents(snapshot, SplitRule.of(problem))
    rows = snapshot.filter(pa.array(sides.holdout)).select(["inputs", "label"]).to_pylist()
    return [(tuple(row["inputs"][name] for name in FIELDS), row["label"]) for row in rows]


def _unwrapped(printed: str) -> str:
    """Return what was printed without the lines of tables, in one line."""
    return " ".join(printed.replace("│", " ").split())
