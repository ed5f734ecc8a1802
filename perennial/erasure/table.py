"""The table of snapshots without the erased documents, each snapshot still readable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.documents.accounts import reasons_of
from perennial.documents.documents import snapshot_digest
from perennial.documents.judgement import judge
from perennial.documents.keys import plain_key
from perennial.documents.revisions import newest_revisions
from perennial.errors import OutsideError
from perennial.inputs.base import TextInputs
from perennial.inputs.identity import CURRENT_IDENTITY, FIRST_IDENTITY
from perennial.inputs.records import RECORDS
from perennial.stores.snapshots import earlier_layout
from perennial.stores.snapshots.delta import SnapshotConflictError
from perennial.stores.snapshots.snapshot import (
    REVISION,
    SAMPLE,
    SNAPSHOT,
    Snapshot,
    digest_of,
    row_of,
)
from perennial.stores.snapshots.store import FEW_VALUES, SnapshotStore
from perennial.stores.snapshots.tombstones import Tombstones

_CONFLICTS = 5
_STORED = ("id", "content", "raw", TextInputs.column.name, RECORDS, earlier_layout.INPUTS)


@dataclass(eq=False)
class Stored:
    """What a table has of documents, read before they are erased.

    Attributes
    ----------
    keys : set of str
        Their ids.
    contents : set of bytes
        The identities of all their inputs.
    texts : dict of str to None
        All texts of theirs, and of the fields of their records.
    records : list of dict
        All their records.
    """

    keys: set[str] = field(default_factory=set)
    contents: set[bytes] = field(default_factory=set)
    texts: dict[str, None] = field(default_factory=dict)
    records: list[dict[str, object]] = field(default_factory=list)

    def add(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Add what rows of revisions say."""
        for row in rows.to_pylist():
            self.keys.add(row["id"])
            if row.get("content") is not None:
                self.contents.add(row["content"])
            self.texts |= dict.fromkeys(
                text for text in (row.get("raw"), row.get(TextInputs.column.name)) if text
            )
            for name in (RECORDS, earlier_layout.INPUTS):
                if row.get(name) is not None:
                    self._add_record(row[name])

    def _add_record(self, stored: dict[str, object]) -> None:
        # A field's kind is part of its stored name.
        record = {
            name.rpartition(":")[0] or name: value
            for name, value in stored.items()
            if value is not None
        }
        self.records.append(record)
        self.texts |= dict.fromkeys(value for value in record.values() if isinstance(value, str))


def stored_of(store: SnapshotStore, erased: Tombstones) -> Stored:
    """Return what the table still has of the erased documents."""
    found = Stored()
    for batch in _revisions(store):
        gone = erased.mask(batch["id"].to_pylist())
        names = [name for name in _STORED if name in batch.schema.names]
        found.add(batch.select(names).filter(gone))
    return found


def identities_of(store: SnapshotStore) -> set[int]:
    """Return the versions of the identity by which there are snapshots."""
    drafts = [each.draft for each in store.snapshots()]
    found = {FIRST_IDENTITY if draft is None else draft.identity for draft in drafts}
    return found or {CURRENT_IDENTITY}


def others_of(store: SnapshotStore, erased: Tombstones) -> Iterator[bytes]:
    """Yield the ids and texts of the other documents that the table has, some at a time."""
    for batch in _revisions(store):
        names = [name for name in _STORED if name in batch.schema.names]
        stays = pc.invert(erased.mask(batch["id"].to_pylist()))
        others = Stored()
        others.add(batch.select(names).filter(stays))
        yield "\n".join([*others.keys, *others.texts]).encode("utf-8", "surrogatepass")


def ids_of_copies(store: SnapshotStore, erased: Tombstones, contents: set[bytes]) -> list[str]:
    """Return the ids of other documents with one of these contents."""
    wanted = pa.array(sorted(contents), pa.binary())
    found: dict[str, None] = {}
    for batch in _revisions(store):
        same = pc.is_in(batch["content"].cast(pa.binary()), wanted)
        found |= dict.fromkeys(batch.filter(same)["id"].to_pylist())
    return [key for key in found if key not in erased]


def known_keys(store: SnapshotStore, keys: set[str]) -> dict[str, str]:
    """Return those of some ids that the table has revisions of, each with its key there.

    Numbers are equal whatever their type: people type 17, and a shell stores 17.0.
    """
    wanted = {plain_key(key): key for key in sorted(keys)}
    wanted |= {key: key for key in keys}
    found: dict[str, str] = {}
    for batch in _revisions(store):
        for key in pc.unique(batch["id"].cast(pa.string())).to_pylist():
            typed = wanted.get(key) or (wanted.get(plain_key(key)) if key[:1] == "{" else None)
            if typed is not None and found.get(typed) != typed:
                found[typed] = key
    return found


def erase_rows(store: SnapshotStore, erased: Tombstones) -> int:
    """Write the table without the revisions of erased documents; return how many these were.

    One commit: whoever reads meanwhile sees all of it or nothing. The records of the snapshots that
    had such documents say how many are gone, and the digest of what is left.

    Raises
    ------
    OutsideError
        If the storage refuses, or if others write so often that there is no moment for it.
    """
    for _ in range(_CONFLICTS):
        table = store.table.open()
        if table is None:
            return 0
        light = _light(store)
        gone = _mask(light, erased)
        if not gone.any():
            return 0
        records = [_without(store, each, light, erased) for each in store.snapshots()]
        schema, batches = store.table.stream(table)
        rows = _kept(batches, erased)
        last = iter([row_of(each, schema) for each in records])
        try:
            store.table.replace(_chain(rows, last), schema, table, few_values=FEW_VALUES)
        except SnapshotConflictError:
            continue
        return int(gone.sum())
    raise OutsideError(
        f"{_CONFLICTS} times in a row a retraining of {store.problem!r} wrote at the same time at "
        f"{store.uri} (DATA_URI); repeat when none runs, nothing is lost by that."
    )


def _chain(*parts: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        yield from part


def _kept(batches: Iterator[pa.RecordBatch], erased: Tombstones) -> Iterator[pa.RecordBatch]:
    """Yield the rows that stay; the records of snapshots are written anew."""
    for batch in batches:
        is_document = pc.is_in(batch["kind"].cast(pa.string()), pa.array([REVISION, SAMPLE]))
        gone = pc.and_(is_document, erased.mask(each or "" for each in batch["id"].to_pylist()))
        stays = pc.invert(pc.or_(gone, pc.equal(batch["kind"], SNAPSHOT)))
        rows = batch.filter(stays)
        if len(rows):
            yield rows


def _revisions(store: SnapshotStore) -> Iterator[pa.RecordBatch]:
    table = store.table.open()
    if table is None:
        return
    _, batches = store.table.stream(table)
    for batch in batches:
        rows = batch.filter(pc.equal(batch["kind"], REVISION))
        if len(rows):
            yield rows


def _light(store: SnapshotStore) -> pa.Table:
    """Return what judging needs of every revision there ever was."""
    with_texts = any(
        each.draft.rules.need_texts for each in store.snapshots() if each.draft is not None
    )
    return store.light_revisions(None, with_texts=with_texts)


def _mask(rows: pa.Table, erased: Tombstones) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = erased.mask(rows["id"].to_pylist()).to_numpy(zero_copy_only=False)
    return found


def _without(
    store: SnapshotStore, snapshot: Snapshot, light: pa.Table, erased: Tombstones
) -> Snapshot:
    """Return the record of a snapshot without the erased documents."""
    if snapshot.draft is None:
        return _without_earlier(store, snapshot, erased)
    # A place in the change stream names the document that was touched last; without it the next
    # ingestion compares the whole collection.
    draft = replace(snapshot.draft, resume_token=None, reconciled_at=None)
    snapshot = replace(snapshot, draft=draft)
    version = light["version"]
    within = pc.and_(
        pc.greater_equal(version, snapshot.began), pc.less_equal(version, snapshot.version)
    )
    newest = newest_revisions(light.filter(within))
    gone = _mask(newest, erased)
    if not gone.any():
        return snapshot
    lost = pc.equal(judge(newest, draft.rules)["status"], "used").to_numpy() & gone
    judged = judge(newest.filter(pa.array(~gone)), draft.rules)
    used = judged.filter(pc.equal(judged["status"], "used"))
    held = pc.equal(judged["status"], "quarantined").to_numpy()
    return replace(
        snapshot,
        documents=len(used),
        erased=snapshot.erased + int(lost.sum()),
        remains=digest_of(used["digest"], draft.rules),
        accounts=replace(
            snapshot.accounts,
            live=len(judged),
            used=len(used),
            duplicates=len(judged) - len(used) - int(held.sum()),
            in_quarantine=reasons_of(judged, held),
        ),
    )


def _without_earlier(store: SnapshotStore, snapshot: Snapshot, erased: Tombstones) -> Snapshot:
    inputs = (TextInputs.column.name, RECORDS, earlier_layout.INPUTS)
    rows = store.used_earlier(snapshot, ["id", "label", "content", *inputs])
    gone = _mask(rows, erased)
    if not gone.any():
        return snapshot
    left = earlier_layout.with_plain_records(rows.filter(pa.array(~gone)))
    return replace(
        snapshot,
        documents=len(left),
        erased=snapshot.erased + int(gone.sum()),
        remains=snapshot_digest(earlier_layout.row_digests(left)),
    )
