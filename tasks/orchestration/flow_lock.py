"""Turns: runs of one flow for one problem come one after the other, whoever starts them.

A deployment's own limit counts only runs of that deployment. This one counts those that a person
starts from a shell as well, if they talk to the same Prefect server. A rollback does not wait for
a retraining: promotion checks under a lease that Production is still what it compared with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from perennial.libraries import uses_embedded_prefect

# A run that was killed keeps its turn for this long; Prefect takes no less than a minute.
_LEASE_SECONDS = 60.0


@contextmanager
def turn(flow: str, problem: str) -> Iterator[None]:
    """Wait until no other run of this flow for this problem is in this block.

    The embedded Prefect server of a machine without servers knows of no other machine, and nobody
    deploys to it: there this costs nothing and does nothing.
    """
    if uses_embedded_prefect():
        yield
        return
    name = _name(flow, problem)
    with get_client(sync_client=True) as client:
        _ensure_limit(client, name)
    with concurrency(name, lease_duration=_LEASE_SECONDS):
        yield


def is_taken(flow: str, problem: str) -> bool:
    """Return whether a run of this flow for this problem has its turn now.

    It is given back a minute after a run was killed, whatever Prefect believes of the run itself.
    """
    with get_client(sync_client=True) as client:
        try:
            limit = client.read_global_concurrency_limit_by_name(_name(flow, problem))
        except ObjectNotFound:
            return False
    return limit.active_slots > 0


def _name(flow: str, problem: str) -> str:
    return f"{flow} {problem}"


def _ensure_limit(client: SyncPrefectClient, name: str) -> None:
    # Of two runs that are the first at once, the other one has made it.
    with suppress(ObjectAlreadyExists):
        client.upsert_global_concurrency_limit_by_name(name, 1)
