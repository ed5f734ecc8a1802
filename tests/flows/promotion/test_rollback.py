"""Rolling back: Production goes where a person says, stays there, and the history tells all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client

from flows.history import history
from flows.retrain import retrain
from flows.rollback import rollback
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.registry.client import Registry
from perennial.settings import get_settings
from tasks.reporting.retraining import Retraining
from tests.conftest import MIDNIGHT, stored_at, wait_until

pytestmark = pytest.mark.usefixtures("prefect_api")

_LOGISTIC = {
    "preparation": "plain",
    "estimator": "logistic_regression",
    "parameters": {"C": 10.0, "solver": "liblinear"},
}
# One word says next to nothing about a review.
WEAK = {"weak": _LOGISTIC | {"features": {"weighting": "tfidf", "max_features": 1}}}
GOOD = {"good": _LOGISTIC | {"features": {"weighting": "tfidf"}}}


@pytest.fixture
def improve(
    write_problem: Callable[..., Problem], collection: Any, documents: Any
) -> Callable[..., Retraining]:
    """Retrain the problem with these candidates, and with so many further reviews."""
    floors = {"floors": {"accuracy": 0.3}, "confirm": "none"}
    arrived = 0

    def call(candidates: Any, *, arriving: int = 0, force: bool = False) -> Retraining:
        nonlocal arrived
        write_problem(candidates=candidates, gates=floors)
        if arriving:
            collection.insert_many(
                documents(arriving, first=arrived, at=MIDNIGHT + timedelta(minutes=arrived))
            )
            arrived += arriving
        return retrain("reviews", force=force)

    return call


@pytest.fixture
def two_versions(improve: Callable[..., Retraining]) -> None:
    """A weak version 1, and version 2, which took over from it."""
    improve(WEAK, arriving=1200)
    improve(GOOD)


def aliases(registry: Registry) -> tuple[int | None, int | None]:
    production, previous = (registry.alias("reviews", a) for a in ("production", "previous"))
    return production and production.version, previous and previous.version


def steps(registry: Registry) -> list[tuple[str, int | None, int]]:
    return [(change.kind, change.before, change.after) for change in registry.history("reviews")]


def rollbacks_told(reason: str) -> list[dict[str, Any]]:
    """Return what Prefect's event feed says about rollbacks for a reason."""
    wanted = {"filter": {"event": {"name": ["perennial.version.rolled-back"]}}}
    with get_client(sync_client=True) as prefect:
        events = prefect._client.post("/events/filter", json=wanted).json()["events"]
    return [e["payload"] for e in events if reason in e["payload"]["reason"]]


@pytest.mark.usefixtures("two_versions")
def test_rollback_then_retrain_then_rollback_ends_on_the_version_expected(
    registry: Registry,
    improve: Callable[..., Retraining],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert aliases(registry) == (2, 1)

    first = rollback("reviews", why="short texts come out wrong", by="ann")
    assert aliases(registry) == (1, None)

    nothing_new = improve(GOOD)
    assert nothing_new.verdict is None
    assert aliases(registry) == (1, None)

    newer = improve(GOOD, arriving=200)
    assert newer.verdict is not None
    assert (newer.verdict.production, newer.verdict.outcome) == (1, "promoted")
    assert aliases(registry) == (3, 1)

    rollback("reviews", why="still wrong", by="bob")
    assert aliases(registry) == (1, None)
    with pytest.raises(OutsideError, match="no previous version to go back to; name one"):
        rollback("reviews", why="and further back")

    changes = registry.history("reviews")
    assert steps(registry) == [
        ("promotion", None, 1),
        ("promotion", 1, 2),
        ("rollback", 2, 1),
        ("promotion", 1, 3),
        ("rollback", 3, 1),
    ]
    assert changes[2] == first
    assert (first.by, first.why, first.flow) == ("ann", "short texts come out wrong", "rollback")
    assert changes[3].flow == "retrain"
    assert changes[3].why == newer.verdict.reason
    assert len({change.run for change in changes}) == 5
    capsys.readouterr()
    assert history("reviews") == changes
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("ann", "bob", "promotion", "rollback"))


@pytest.mark.e2e
@pytest.mark.usefixtures("two_versions")
def test_what_was_rolled_back_does_not_come_back_by_a_repeated_retraining(
    registry: Registry, improve: Callable[..., Retraining]
) -> None:
    rollback("reviews", why="rude to short texts", by="ann")
    told = wait_until(lambda: rollbacks_told("ann: rude to short texts"), "the event")[0]
    assert (told["problem"], told["version"]) == ("reviews", 2)

    repeated = improve(GOOD, force=True)

    assert repeated.verdict is not None
    assert repeated.verdict.outcome == "kept"
    assert "same model as version 2, rolled back: rude to short texts" in repeated.verdict.reason
    assert aliases(registry) == (1, None)

    rollback("reviews", version=2, why="it was right after all")
    again = improve(GOOD, force=True)

    assert aliases(registry) == (2, 1)
    assert registry.version("reviews", 2).rolled_back is None
    assert again.verdict is not None
    assert "rolled back" not in again.verdict.reason


@pytest.mark.usefixtures("two_versions")
@pytest.mark.e2e
def test_a_rollback_that_cannot_be_done_or_meant_moves_nothing(
    registry: Registry, client: MlflowClient
) -> None:
    model_id = registry.version("reviews", 1).tags["perennial.model_id"]
    location = client.get_logged_model(model_id).artifact_location
    (stored_at(get_settings(), location) / "model.skops").write_bytes(b"damaged")
    before = registry.history("reviews")

    with pytest.raises(OutsideError, match=r"^There is no version 9 of 'reviews'"):
        rollback("reviews", version=9, why="wrong")
    with pytest.raises(OutsideError, match=r"^Version 2 of 'reviews' is Production already"):
        rollback("reviews", version=2, why="wrong")
    with pytest.raises(OutsideError, match=r"^--why is empty"):
        rollback("reviews", version=1, why="  ")
    with pytest.raises(OutsideError, match=r"^Version 1 of 'reviews' .* SHA-256 differs"):
        rollback("reviews", why="it must go")

    assert aliases(registry) == (2, 1)
    assert registry.history("reviews") == before


def test_a_problem_without_production_has_no_history(
    problem: Problem, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history("reviews") == ()
    with pytest.raises(OutsideError, match="no previous version"):
        rollback("reviews", why="wrong")
