"""Runs of an embedded Prefect go after a month with what they wrote, and no others do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Running

from perennial.local import embedded
from perennial.settings import Settings
from tasks.retention.past_runs import KEPT, remove_past_runs

MINUTE = timedelta(minutes=1)


@flow(name="past")
def past() -> None:
    """Do nothing."""


@pytest.fixture
def prefect(tmp_path: Path) -> Iterator[SyncPrefectClient]:
    """An embedded Prefect of this test alone: those of others must keep their runs."""
    with embedded.server(Settings(data_dir=tmp_path), "prefect") as port:
        address = f"http://127.0.0.1:{port}/api"
        with temporary_settings({PREFECT_API_URL: address}), get_client(sync_client=True) as client:
            yield client


def ended(client: SyncPrefectClient) -> UUID:
    """A run that ended now, with an artifact."""
    run = client.create_flow_run(past)
    client.set_flow_run_state(run.id, Completed(), force=True)
    client.create_artifact(ArtifactCreate(type="markdown", data="report", flow_run_id=run.id))
    return run.id


def test_what_ended_more_than_a_month_ago_goes_with_its_artifacts(
    prefect: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {ended(prefect) for _ in range(3)}
    running = prefect.create_flow_run(past)
    prefect.set_flow_run_state(running.id, Running(), force=True)
    later = datetime.now(UTC) + KEPT
    # With a server that outlives its runs, that server tidies.
    assert remove_past_runs.fn(dry_run=False, now=later + MINUTE) == 0
    monkeypatch.setattr("tasks.retention.past_runs.uses_embedded_prefect", lambda: True)
    monkeypatch.setattr("tasks.retention.past_runs._AT_ONCE", 2)

    assert remove_past_runs.fn(dry_run=False, now=later - MINUTE) == 0
    assert remove_past_runs.fn(dry_run=True, now=later + MINUTE) == 3
    assert {run.id for run in prefect.read_flow_runs()} == runs | {running.id}

    assert remove_past_runs.fn(dry_run=False, now=later + MINUTE) == 3

    assert {run.id for run in prefect.read_flow_runs()} == {running.id}
    assert prefect.read_artifacts() == []
    assert remove_past_runs.fn(dry_run=False, now=later + MINUTE) == 0
