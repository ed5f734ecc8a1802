"""Samples of snapshots: what a version is compared with again and again, to be read alone.

A sample is written once, with the inputs of its documents, into the table of the snapshots: a
partition of its own, so that nothing else is read to read it, and an erasure reaches it as it
reaches revisions. There are few at a time; one that is not there can be drawn anew.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from perennial.documents.revisions import (
    as_read,
    as_stored,
    completed,
    in_order,
    newest_revisions,
    row_digests,
)
from perennial.inputs.base import TextInputs
from perennial.inputs.identity import hash_array
from perennial.inputs.records import RECORDS
from perennial.stores.snapshots.delta import Filters, SnapshotConflictError
from perennial.stores.snapshots.snapshot import (
    REVISION,
    SAMPLE,
    Snapshot,
    conformed,
    damaged,
)
from perennial.stores.snapshots.store import FEW_VALUES, SnapshotStore

_COLUMNS = ("id", "label", "content", "created_at")
# What a digest of a revision is of, beside its id, label and input.
_SAID = ("source", "sender", "group", "code", "field", "reason", "fields")
_CONFLICTS = 3


def read_sample(store: SnapshotStore, snapshot: Snapshot, key: str) -> pa.Table | None:
    """Return a sample of a snapshot, in the order of its content.

    Parameters
    ----------
    store : SnapshotStore
        Where the snapshot is.
    snapshot : Snapshot
        The snapshot.
    key : str
        What the sample was kept as.

    Returns
    -------
    Table or None
        With the columns ``id``, ``label``, ``content``, ``created_at`` and that of the inputs; None
        if there is no such sample, or if it is not what was written.

    Raises
    ------
    OutsideError
        If the storage refuses.
    """
    if snapshot.draft is None:
        return None
    inputs = TextInputs.column.name if snapshot.draft.kinds is None else RECORDS
    filters = [("kind", "=", SAMPLE), ("version", "=", snapshot.version), ("record", "=", key)]
    rows = store.table.read([*_COLUMNS, inputs, "digest"], filters)
    if not len(rows):
        return None
    rows = in_order(as_read(rows, snapshot.draft.kinds))
    found = rows.select([*_COLUMNS, inputs])
    return found if _digests(found).equals(rows["digest"].combine_chunks()) else None


def with_inputs(store: SnapshotStore, snapshot: Snapshot, rows: pa.Table) -> pa.Table:
    """Return some documents of a snapshot with their inputs, of which no others are kept in memory.

    Parameters
    ----------
    store : SnapshotStore
        Where the snapshot is.
    snapshot : Snapshot
        The snapshot, of the layout of today.
    rows : Table
        The documents, with the columns ``id``, ``label``, ``content`` and ``created_at``.

    Returns
    -------
    Table
        As `read_sample` returns it.

    Raises
    ------
    OutsideError
        If what is stored of a document is not what its digest says, or if the storage refuses.
    """
    assert snapshot.draft is not None
    inputs = TextInputs.column.name if snapshot.draft.kinds is None else RECORDS
    filters: Filters = [
        ("kind", "=", REVISION),
        ("version", ">=", snapshot.began),
        ("version", "<=", snapshot.version),
        # Arrow knows no type of no ids.
        ("id", "in", rows["id"].to_pylist() or [""]),
    ]
    wanted = (*_COLUMNS, inputs, *_SAID, "digest", "version", "deleted")
    found = newest_revisions(completed(store.table.read(wanted, filters), wanted))
    found = in_order(as_read(found, snapshot.draft.kinds))
    rows = in_order(rows.select(_COLUMNS))
    digests = hash_array(row_digests(found)).cast(pa.binary())
    if not (
        found["id"].combine_chunks().equals(rows["id"].combine_chunks())
        and digests.equals(found["digest"].combine_chunks())
    ):
        raise damaged(snapshot)
    return rows.append_column(inputs, found[inputs])


def keep_sample(
    store: SnapshotStore,
    snapshot: Snapshot,
    key: str,
    rows: pa.Table,
    *,
    beside: Collection[str] = (),
) -> bool:
    """Keep a sample of a snapshot, in the place of all samples but some.

    Parameters
    ----------
    store : SnapshotStore
        Where the snapshot is.
    snapshot : Snapshot
        The snapshot.
    key : str
        What the sample is kept as.
    rows : Table
        Its documents, with the columns of `read_sample`.
    beside : collection of str
        The keys of other samples that stay.

    Returns
    -------
    bool
        Whether it is kept: others who write at the same time go first.

    Raises
    ------
    OutsideError
        If the storage refuses.
    """
    if snapshot.draft is None or not len(rows):
        return False
    for _ in range(_CONFLICTS):
        table = store.table.open()
        if table is None:
            return False
        with suppress(SnapshotConflictError):
            _replace(store, table, snapshot, key, rows, {*beside} - {key})
            store.table.keep_small()
            return True
    return False


def _replace(
    store: SnapshotStore,
    table: DeltaTable,
    snapshot: Snapshot,
    key: str,
    rows: pa.Table,
    beside: Collection[str],
) -> None:
    """Write the samples, if nobody has written anything since the table was opened."""
    schema = table.to_pyarrow_dataset().schema
    # An erasure since the rows were read must not be undone.
    rows = rows.filter(pc.invert(store.erased().mask(rows["id"].to_pylist())))
    rows = _as_stored(rows, snapshot, key, schema)
    others = store.table.read(schema.names, [("kind", "=", SAMPLE)])
    others = others.filter(
        pc.is_in(others["record"].cast(pa.string()), pa.array([*beside], pa.string()))
    )
    batches = [*rows.to_batches(), *conformed(others, schema).to_batches()]
    store.table.replace(
        batches, schema, table, few_values=FEW_VALUES, predicate=f"kind = '{SAMPLE}'"
    )


def _as_stored(rows: pa.Table, snapshot: Snapshot, key: str, schema: pa.Schema) -> pa.Table:
    assert snapshot.draft is not None
    digests = _digests(rows)
    if snapshot.draft.kinds is not None:
        rows = as_stored(rows, snapshot.draft.kinds, schema.field(RECORDS).type)
    said = {"kind": SAMPLE, "version": snapshot.version, "record": key}
    for name, value in said.items():
        rows = rows.append_column(name, pa.array([value] * len(rows)))
    return conformed(rows.append_column("digest", digests), schema)


def _digests(rows: pa.Table) -> pa.Array:
    """Return a digest of all that a sample has of each document."""
    return hash_array(row_digests(completed(rows, _SAID))).cast(pa.binary())
