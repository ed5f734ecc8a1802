"""Turns: runs of one flow for one problem come one after the other, whoever starts them.

A deployment's own limit counts only runs of that deployment. This one counts those that a person
starts from a shell as well: all on this machine, by a lock on a file, and all that talk to the same
Prefect server, by its limit. A rollback does not wait for a retraining: promotion checks under a
lease that Production is still what it compared with.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.concurrency.sync import concurrency
from prefect.exceptions import MissingContextError, ObjectAlreadyExists, ObjectNotFound
from prefect.logging import get_logger, get_run_logger

from perennial.errors import OutsideError
from perennial.libraries import uses_embedded_prefect
from perennial.settings import get_settings

# A run that was killed keeps its turn for this long; Prefect takes no less than a minute.
_LEASE_SECONDS = 60.0


@contextmanager
def turn(flow: str, problem: str) -> Iterator[None]:
    """Wait until no other run of this flow for this problem is in this block.

    A run that is killed gives its turn back: the system at once, Prefect within a minute. The
    embedded Prefect server of a machine without servers knows of no other machine: there the file
    is enough.

    Raises
    ------
    OutsideError
        If the file cannot be locked.
    """
    with _turn_on_this_machine(flow, problem):
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
    lock = _file(flow, problem)
    try:
        with lock.acquire(timeout=0):
            pass
    except Timeout:
        return True
    if uses_embedded_prefect():
        return False
    with get_client(sync_client=True) as client:
        try:
            limit = client.read_global_concurrency_limit_by_name(_name(flow, problem))
        except ObjectNotFound:
            return False
    return limit.active_slots > 0


@contextmanager
def _turn_on_this_machine(flow: str, problem: str) -> Iterator[None]:
    lock = _file(flow, problem)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _logger().info(
            "Another run on this machine retrains, migrates or erases %s; waiting for it.", problem
        )
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("turns")


def _file(flow: str, problem: str) -> FileLock:
    """Return the lock of this flow and this problem; the system releases it with the process."""
    folder = get_settings().data_dir / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutsideError(f"{folder} (DATA_DIR) cannot be written: {error.strerror}.") from error
    return FileLock(folder / f"{_name(flow, problem)}.lock")


def _name(flow: str, problem: str) -> str:
    return f"{flow} {problem}"


def _ensure_limit(client: SyncPrefectClient, name: str) -> None:
    # Of two runs that are the first at once, the other one has made it.
    with suppress(ObjectAlreadyExists):
        client.upsert_global_concurrency_limit_by_name(name, 1)
