"""A retraining says what holds its challenger back, and which labels look wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner, Result

from deployments.cli import app
from flows.erase import erase
from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.registry.client import Registry
from perennial.registry.label_issues import read_issues
from tasks.reporting.retraining import Retraining
from tests.conftest import SMALL_PROBLEM
from tests.flows.prepared import Prepared

pytestmark = pytest.mark.usefixtures("prefect_api")

DOCUMENTS, WRONG = 600, 30


@pytest.fixture
def some_wrong(documents: Any, collection: Any) -> set[str]:
    """Reviews that say plainly what they think, of which some are labelled otherwise; their ids."""
    made = documents(DOCUMENTS)
    for document in made:
        document["text"] += (" It is dreadful.", " It is wonderful.")[document["label"]]
    wrong = made[:: DOCUMENTS // WRONG]
    for document in wrong:
        document["label"] = 1 - document["label"]
    collection.insert_many(made)
    return {document["_id"] for document in wrong}


@pytest.fixture
def retrained(
    some_wrong: set[str],
    write_problem: Callable[..., Problem],
    machine: Any,
    prepared: Prepared,
) -> Retraining:
    """What one retraining on them has found."""
    name = "tfidf-logistic"
    write_problem(candidates={name: SMALL_PROBLEM["candidates"][name]})
    found: Retraining = prepared.enter(
        "retrained", machine, lambda: retrain("reviews", thorough=True)
    )
    return found


def _check(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", *arguments], env={"COLUMNS": "250", "TERM": "dumb"})


def _listed(registry: Registry, retraining: Retraining) -> list[str]:
    return [each.id for each in read_issues(registry, retraining.run_id or "") or []]


def test_wrong_labels_are_listed_with_the_run_the_clearest_first(
    retrained: Retraining, some_wrong: set[str], client: MlflowClient, registry: Registry
) -> None:
    issues = retrained.diagnosis.issues if retrained.diagnosis is not None else None
    assert issues is not None

    listed = _listed(registry, retrained)

    assert listed == [each.id for each in issues.first]
    assert len(some_wrong.intersection(listed[:10])) >= 8
    assert issues.count == client.get_run(retrained.run_id or "").data.metrics["label_issues"]
    assert sum(issues.pairs.values()) == issues.count


def test_the_command_shows_the_documents_and_leaves_out_what_was_corrected(
    retrained: Retraining, collection: Any
) -> None:
    diagnosis = retrained.diagnosis
    assert diagnosis is not None
    assert diagnosis.issues is not None
    first, second, third = diagnosis.issues.first[:3]
    text = collection.find_one({"_id": first.id})["text"]

    shown = _check("reviews", "--labels").output

    assert shown.index(first.id) < shown.index(second.id) < shown.index(third.id)
    assert " ".join(text.split())[:40] in shown
    assert "read before you correct" in shown

    document = collection.find_one({"_id": first.id})
    collection.update_one({"_id": first.id}, {"$set": {"label": 1 - document["label"]}})
    collection.delete_one({"_id": second.id})
    shown = _check("reviews", "--labels").output
    assert f" {first.id} " not in shown
    assert f" {second.id} " not in shown
    assert f" {third.id} " in shown


def test_erased_documents_leave_the_list(retrained: Retraining, registry: Registry) -> None:
    before = _listed(registry, retrained)

    erase("reviews", ids=[before[0]], why="it was asked for", yes=True)

    assert _listed(registry, retrained) == before[1:]


def test_what_prefect_keeps_of_the_report_names_no_document(
    retrained: Retraining, some_wrong: set[str]
) -> None:
    from tasks.reporting.diagnosis import diagnosis_tables

    assert retrained.diagnosis is not None
    problem = SMALL_PROBLEM | {"name": "reviews", "source": {"database": "d", "collection": "c"}}
    tables = diagnosis_tables(Problem.model_validate(problem), retrained.diagnosis)
    shown = "\n".join(table.markdown() for table in tables)

    assert "review-" not in shown
    assert "| negative |" in shown
    assert "training documents" in shown
    assert "perennial check reviews --labels" in shown


def test_without_a_list_the_command_says_how_to_get_one(problem: Problem) -> None:
    result = _check("reviews", "--labels")

    assert result.exit_code == 1
    assert "perennial retrain reviews --force" in str(result.exception)
    assert "name it" in str(_check("--labels").exception)
