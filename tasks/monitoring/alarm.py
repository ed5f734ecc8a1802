"""Alarm: raise the event ``problem.drifted``, once, when it is time for a retraining."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.logging import get_run_logger

from perennial.config.problem import Problem
from perennial.monitoring.alarm import Alarm, Step, advance
from perennial.registry.client import ModelVersion
from perennial.settings import get_settings
from perennial.stores import mongodb
from tasks.monitoring.drift import Drift
from tasks.orchestration.events import emit
from tasks.orchestration.flow_lock import is_taken
from tasks.orchestration.retries import NETWORK

COLLECTION = "perennial_alarms"
_RETRAIN = "retrain"
# A run that waits for longer has no worker, and will not answer the drift.
_LONGEST = timedelta(days=1)
_WAITING = [StateType.PENDING, StateType.SCHEDULED]


@task(name="raise alarm", cache_policy=NO_CACHE, **NETWORK)
def raise_alarm(problem: Problem, production: ModelVersion, drift: Drift, now: datetime) -> Step:
    """Count this run's finding, and emit the event when enough runs in a row have found drift.

    Not again while it cools down or while a retraining is under way; another Production version
    starts anew. What runs have found is kept in the problem's database, under its lease: of two
    runs at once one raises the event.

    Raises
    ------
    OutsideError
        If MongoDB cannot be used.
    """
    with mongodb.connect(get_settings(), problem.name) as client:
        database = client[problem.source.database]
        with mongodb.lease(database, f"alarm {problem.name}"):
            alarms = database[COLLECTION]
            step = advance(
                _read(alarms.find_one({"_id": problem.name})),
                version=production.version,
                drifted=bool(drift.counted),
                near=drift.is_near,
                retraining=bool(drift.counted) and is_retraining(problem.name, now),
                now=now,
                monitoring=problem.monitoring,
            )
            if step.raised:
                # First the event: should the process end here, the next run raises it again.
                reason = "; ".join(map(str, drift.counted))
                emit("problem.drifted", problem.name, version=production.version, reason=reason)
            alarms.replace_one({"_id": problem.name}, vars(step.alarm), upsert=True)
    if drift.found and not drift.counted:
        step = replace(step, reason="; ".join(dict.fromkeys(drift.explained.values())))
    if drift.found:
        get_run_logger().warning("Drift of %s: %s.", problem.name, step.reason)
    return step


def is_retraining(problem: str, now: datetime) -> bool:
    """Return whether a retraining has its turn, or waits to begin and should have begun by now.

    That Prefect calls a run running says little: one that was killed may be called so forever.
    """
    if is_taken(_RETRAIN, problem):
        return True
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[_RETRAIN])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_WAITING)),
                # Those of the schedule wait for their time, and say nothing about now.
                expected_start_time=FlowRunFilterExpectedStartTime(
                    after_=now - _LONGEST, before_=now
                ),
            ),
        )
    return any(run.parameters.get("problem") == problem for run in runs)


def _read(kept: dict[str, Any] | None) -> Alarm | None:
    if kept is None:
        return None
    return Alarm(kept["version"], kept["runs"], kept["raised_at"])
