"""Drift, for real: film reviews give way to one-line snippets, and the loop closes.

A smaller story than `python -m benchmarks.drift` tells, with the same parts: a real retraining, the
service's own log of predictions and feedback, MongoDB, MLflow and Prefect's event feed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from benchmarks.drift import rows_of
from perennial.config.problem import Problem
from perennial.settings import get_serving_settings
from tasks.monitoring.result import MonitorResult
from tests.conftest import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("prefect_api")]

TRAINED, CHUNK, CHUNKS = 1_200, 200, 3
ARRIVING, ASKED, LATER = 1_800, 200, 300


@pytest.fixture
def problem(write_problem: Callable[..., Problem]) -> Problem:
    """Film reviews of any length, and one quick candidate."""
    return write_problem(
        limits={"max_characters": 100_000},
        candidates={
            "tfidf-logistic": {
                "preparation": "plain",
                "features": {"weighting": "tfidf", "min_documents": 2},
                "estimator": "logistic_regression",
                "parameters": {"C": 10.0, "solver": "liblinear"},
            }
        },
        monitoring={"min_documents": 100},
    )


@pytest.fixture
def world(problem: Problem, collection: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The small problem, with clients that ask and give feedback."""
    from benchmarks.drift_story import World

    monkeypatch.setenv("SERVING_LOG_DATABASE", problem.source.database)
    get_serving_settings.cache_clear()
    yield World(problem.name)
    get_serving_settings.cache_clear()


def _versions(address: str, since: datetime) -> list[int]:
    """Return the version that each drift event in Prefect's feed is about."""
    wanted = {
        "occurred": {"since": since.isoformat()},
        "event": {"name": ["perennial.problem.drifted"]},
    }
    answer = httpx.post(f"{address}/events/filter", json={"filter": wanted}, timeout=30)
    return [event["payload"]["version"] for event in answer.raise_for_status().json()["events"]]


def _live(monitored: MonitorResult) -> float:
    """Return Production's accuracy by feedback."""
    version = monitored.reference.production.version
    return next(x.accuracy.value for x in monitored.quality.live if x.version == version)


def test_drift_is_noticed_once_answered_by_a_retraining_and_quality_recovers(
    world: Any, prefect_api: str
) -> None:
    from benchmarks.drift_story import change, stay_calm

    reviews, snippets = rows_of("imdb", 1), rows_of("rotten_tomatoes", 1)
    start = datetime.now(UTC)
    assert world.train(reviews[:TRAINED]).outcome == "promoted"

    more = [reviews[TRAINED + i * CHUNK :][:CHUNK] for i in range(CHUNKS)]
    calm = stay_calm(world, more)
    for run in calm:
        assert len(run.recent.documents) == CHUNK // 2
        assert len(run.recent.predictions) == CHUNK // 2
        assert {test.of for test in run.drift.tests} == {"documents", "predictions"}
        assert not run.drift.found
    assert not any(run.alarm.raised for run in calm)

    later, asked, arriving = (
        snippets[:LATER],
        snippets[LATER : LATER + ASKED],
        snippets[LATER + ASKED :][:ARRIVING],
    )
    changed = change(world, arriving, asked, later)

    assert changed.noticed.alarm.raised
    assert {"words", "length"} <= {test.name for test in changed.noticed.drift.found}
    assert not changed.again.alarm.raised
    assert changed.verdict.outcome == "promoted"
    assert changed.after.reference.production.version == changed.verdict.challenger
    assert _live(changed.after) > _live(changed.noticed)
    # Later events may be about the next version: snippets alone are not yet what it learned from.
    versions = wait_until(lambda: _versions(prefect_api, start), "the event arrives")
    assert versions.count(1) == 1
