"""Drop: documents in quarantine that are of no use are counted no more, and can be taken back."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from perennial.commands import command, counted
from perennial.config.problem import Problem
from perennial.settings import get_settings
from perennial.stores import dropped, mongodb
from perennial.stores.snapshots.store import SnapshotStore
from tasks.data.quarantine import (
    held_documents,
    of_reason,
    require_reason,
    require_snapshot,
    rules_of_now,
)
from tasks.orchestration.retries import NETWORK


@task(name="drop", cache_policy=NO_CACHE, **NETWORK)
def drop_held(problem: Problem, name: str, *, by: str, why: str) -> int:
    """Note that all documents that are in quarantine for a reason are of no use.

    MongoDB keeps them, and earlier snapshots do. The next ingestion leaves them out.

    Parameters
    ----------
    problem : Problem
        The problem.
    name : str
        The reason as the list names it, or its key.
    by, why : str
        Who says so, and what for.

    Returns
    -------
    int
        How many documents.

    Raises
    ------
    OutsideError
        If there is no snapshot yet, or no document for this reason.
    """
    settings = get_settings()
    store = SnapshotStore(problem.name, settings)
    snapshot = require_snapshot(problem, store)
    rows = store.quarantine(snapshot, rules_of_now(problem, snapshot))
    reason = require_reason(held_documents(problem, rows), name)
    meant = set(of_reason(rows, reason)["id"].to_pylist())
    known = store.known_ids(snapshot).select(["id", "stored"]).to_pydict()
    states = [each for each in zip(known["id"], known["stored"], strict=True) if each[0] in meant]
    with mongodb.connect(settings, problem.name) as client:
        database = client[problem.source.database]
        dropped.drop(database, problem.name, states, by=by, why=why)
    get_run_logger().info(
        "Dropped %s from quarantine (%s), says %s: %s. MongoDB keeps them; `%s` takes them back.",
        counted(len(states), "document"),
        reason,
        by,
        why,
        command("quarantine", problem.name, "--take-back"),
    )
    return len(states)


@task(name="take back", cache_policy=NO_CACHE, **NETWORK)
def take_back(problem: Problem) -> int:
    """Let the next ingestion judge everything again that was dropped; return how much that is."""
    with mongodb.connect(get_settings(), problem.name) as client:
        count = dropped.take_back(client[problem.source.database], problem.name)
    get_run_logger().info(
        "Took %s back that had been dropped from quarantine.", counted(count, "document")
    )
    return count
