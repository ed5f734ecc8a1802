"""Documents with something wrong, and what became of each in the newest snapshot."""

from __future__ import annotations

from collections import Counter
from typing import Any

from perennial.reasons import Reason, ReasonCode
from perennial.stores.snapshots.store import SnapshotStore
from tasks.data.ingest import IngestResult

MISSING = object()


def all_rows(store: SnapshotStore) -> Counter[str]:
    """How often each id is among the documents of the newest snapshot, whatever became of it."""
    snapshot = store.latest()
    assert snapshot is not None
    return Counter(store.known_ids(snapshot)["id"].to_pylist())


def used_ids(store: SnapshotStore, ingested: IngestResult) -> list[str]:
    return sorted(store.read(ingested.snapshot)["id"].to_pylist())


def reasons_of(store: SnapshotStore, ingested: IngestResult) -> dict[str, Reason]:
    rows = store.quarantine(ingested.snapshot).to_pylist()
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: Reason(ReasonCode(row["code"]), row["field"]) for row in rows}


def spoil(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    spoiled = document | changes
    return {key: value for key, value in spoiled.items() if value is not MISSING}
