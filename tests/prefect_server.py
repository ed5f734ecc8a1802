"""The Prefect server that tests have in common, left without what one of them has made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import SyncPrefectClient, get_client


@contextmanager
def tidied_client() -> Iterator[SyncPrefectClient]:
    """Yield a client; then remove automations and deployments, which others must not meet."""
    with get_client(sync_client=True) as client:
        yield client
        for automation in client.read_automations():
            client.delete_automation(automation.id)
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
