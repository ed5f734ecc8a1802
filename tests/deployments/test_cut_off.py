"""A run that was cut off with the system does not stay "Running"."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.states import Completed, Pending, Running, State

from deployments.cut_off import end_cut_off


def run_in(state: State[Any], tags: Sequence[str] = ("perennial",)) -> UUID:
    """Let a deployment have a run in a state, and return the run."""
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("retrain")
        deployment = client.create_deployment(flow, "-".join(tags), tags=list(tags))
        return client.create_flow_run_from_deployment(deployment, state=state).id


def states(*runs: UUID) -> list[str]:
    with get_client(sync_client=True) as client:
        return [str(client.read_flow_run(run).state_name) for run in runs]


def test_runs_of_before_the_start_have_crashed_and_others_are_left_alone(prefect_api: str) -> None:
    cut_off = [run_in(Running()), run_in(Pending())]
    done, theirs = run_in(Completed()), run_in(Running(), ["another-team"])
    started = datetime.now(UTC)
    later = run_in(Running(timestamp=started + timedelta(seconds=1)))

    assert end_cut_off(prefect_api, started) == 2

    assert states(*cut_off) == ["Crashed", "Crashed"]
    assert states(done, theirs, later) == ["Completed", "Running", "Running"]
    assert end_cut_off(prefect_api, started) == 0
