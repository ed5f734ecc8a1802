"""A Production that is lost in MLflow: the next retraining notices, and puts another one there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient

from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.registry.client import Registry
from perennial.registry.lost import why_lost
from perennial.settings import Settings

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def in_production(
    write_problem: Callable[..., Problem], collection: Any, documents: Callable[..., Any]
) -> None:
    """Version 1 is Production, and there is nothing new."""
    write_problem(gates={"floors": {"accuracy": 0.3}})
    collection.insert_many(documents(1200))
    found = retrain("reviews")
    assert found.verdict is not None
    assert found.verdict.outcome == "promoted"


def model_of(client: MlflowClient) -> str:
    return str(client.get_model_version("reviews", "1").tags["perennial.model_id"])


def delete_version(client: MlflowClient, machine: Settings) -> None:
    client.delete_model_version("reviews", "1")


def delete_model(client: MlflowClient, machine: Settings) -> None:
    client.delete_logged_model(model_of(client))


def delete_files(client: MlflowClient, machine: Settings) -> None:
    for folder in (machine.data_dir / "mlflow" / "artifacts").rglob(model_of(client)):
        shutil.rmtree(folder)


def take_alias_away(client: MlflowClient, machine: Settings) -> None:
    client.delete_registered_model_alias("reviews", "production")


def rename_model(client: MlflowClient, machine: Settings) -> None:
    client.rename_registered_model("reviews", "reviews-of-last-year")


@pytest.mark.parametrize(
    ("lose", "why"),
    [
        (delete_version, "'reviews' has no Production any more in MLflow, though it had one."),
        (delete_model, "Version 1 of 'reviews' is Production, and its model was deleted"),
        (delete_files, "Version 1 of 'reviews' is Production, and its model was deleted"),
        (take_alias_away, "'reviews' has no Production any more in MLflow, though it had one."),
        (rename_model, "'reviews' has no Production any more in MLflow, though it had one."),
    ],
)
@pytest.mark.usefixtures("in_production")
def test_a_lost_production_is_noticed_and_replaced_though_nothing_is_new(
    lose: Callable[[MlflowClient, Settings], None],
    why: str,
    client: MlflowClient,
    machine: Settings,
    registry: Registry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lose(client, machine)
    assert (why_lost(registry, "reviews") or "").startswith(why)

    found = retrain("reviews")

    assert f"{why}" in caplog.text
    assert "The challenger takes its place by the floors." in caplog.text
    assert found.verdict is not None
    assert found.verdict.outcome == "promoted"
    production = registry.require_production("reviews")
    assert production.version == found.verdict.challenger
    registry.load(production)
    assert why_lost(registry, "reviews") is None
    # Nobody is offered to go back to what is gone.
    previous = registry.alias("reviews", "previous")
    assert previous is None or registry.is_stored(previous)
    assert retrain("reviews").verdict is None


def test_a_problem_that_never_had_a_production_has_lost_none(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Callable[..., Any],
    registry: Registry,
) -> None:
    write_problem(gates={"floors": {"accuracy": 1.0}})
    collection.insert_many(documents(1200))
    assert why_lost(registry, "reviews") is None

    found = retrain("reviews")

    assert found.verdict is not None
    assert found.verdict.outcome == "kept"
    assert why_lost(registry, "reviews") is None
    assert retrain("reviews").verdict is None
