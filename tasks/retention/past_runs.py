"""Prefect's runs of the past, where no server removes them by itself.

The server of `make up` does so, and a team's server as its settings say. The embedded one, which
commands start and end with them, does not live long enough.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterEndTime,
)
from prefect.exceptions import ObjectNotFound

from perennial.libraries import uses_embedded_prefect
from tasks.orchestration.retries import NETWORK

# As the server of `make up`.
KEPT = timedelta(days=30)
_AT_ONCE = 200


@task(name="remove past runs", cache_policy=NO_CACHE, **NETWORK)
def remove_past_runs(*, dry_run: bool, now: datetime | None = None) -> int:
    """Remove the runs that ended long ago from an embedded Prefect; return how many.

    Parameters
    ----------
    dry_run : bool
        Only count them.
    now : datetime, optional
        The time from which their age counts.
    """
    if not uses_embedded_prefect():
        return 0
    before = (now or datetime.now(UTC)) - KEPT
    wanted = FlowRunFilter(end_time=FlowRunFilterEndTime(before_=before))
    count = 0
    with get_client(sync_client=True) as client:
        while True:
            skipped = count if dry_run else 0
            runs = client.read_flow_runs(flow_run_filter=wanted, limit=_AT_ONCE, offset=skipped)
            if not runs:
                return count
            if not dry_run:
                for run in runs:
                    _remove(client, run.id)
            count += len(runs)


def _remove(client: SyncPrefectClient, run: UUID) -> None:
    """Remove a run with its artifacts; its logs and task runs go with it."""
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    try:
        for artifact in client.read_artifacts(artifact_filter=of_run):
            client.delete_artifact(artifact.id)
        client.delete_flow_run(run)
    except ObjectNotFound:
        # Another tidying of the same server was quicker.
        return
