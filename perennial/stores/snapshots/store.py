"""Snapshots: what a collection said at a time, all of them in one table per problem.

The table is a history. A row is one revision of one document; rows are never changed. A snapshot
is the newest revision of each document up to its version, judged by the labels and limits of that
time. One commit holds the revisions of an ingestion and the record of its snapshot, so that they
cannot disagree, however a run ends. Since the history is in the rows, files can be merged at any
time without losing a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from perennial.documents.accounts import COMPARED, account
from perennial.documents.documents import feedback_contents, superseded
from perennial.documents.judgement import Rules, judge
from perennial.documents.revisions import (
    COLUMNS,
    as_read,
    completed,
    in_order,
    newest_revisions,
    row_digests,
)
from perennial.errors import OutsideError
from perennial.inputs.base import TextInputs
from perennial.inputs.identity import hash_array
from perennial.inputs.records import RECORDS
from perennial.settings import Settings
from perennial.splits.split import KEY_COLUMNS
from perennial.stores.snapshots import earlier_layout
from perennial.stores.snapshots.delta import SnapshotConflictError, Table
from perennial.stores.snapshots.kept_groups import KeptGroups
from perennial.stores.snapshots.snapshot import (
    LIGHT,
    REVISION,
    SNAPSHOT,
    Draft,
    Snapshot,
    batches_of,
    conformed,
    damaged,
    digest_of,
    from_json,
    row_of,
    table_schema,
    watermark_of,
)
from perennial.stores.snapshots.tombstones import TOMBSTONE, Tombstone, Tombstones

__all__ = ["Draft", "Snapshot", "SnapshotConflictError", "SnapshotStore"]

# The folder of the table, below that of the problem.
HISTORY = "history"
# No snapshot has a higher version.
_LAST = 2**62
FEW_VALUES = ("label", "source", "sender", "code", "field", "kind")
_READ = ("id", "created_at", "source", "sender", "group", "label", "content", "sketch", "fields")


class SnapshotStore:
    """The snapshots of one problem.

    Parameters
    ----------
    problem : str
        Name of the problem.
    settings : Settings
        Where the snapshots are, and with which credentials.
    """

    def __init__(self, problem: str, settings: Settings) -> None:
        self.problem, self._settings = problem, settings
        self.uri = f"{settings.snapshots_uri}/{problem}"
        name = f"The table of snapshots of {problem!r}"
        self.table = Table(f"{self.uri}/{HISTORY}", settings, name)
        self._earlier = Table(self.uri, settings, name)

    def latest(self) -> Snapshot | None:
        """Return the newest snapshot, or None before the first ingestion."""
        return next(self.snapshots(), None)

    def find(self, version_or_digest: int | str) -> Snapshot:
        """Return the snapshot of a version or of a digest.

        Raises
        ------
        OutsideError
            If there is none.
        """
        for snapshot in self.snapshots():
            if version_or_digest in (snapshot.version, snapshot.digest):
                return snapshot
        raise OutsideError(
            f"There is no snapshot {version_or_digest!r} of {self.problem!r} at {self.uri} "
            "(DATA_URI)."
        )

    def recorded(self, version: int, digest: str) -> Snapshot:
        """Return the snapshot of a version, to be read only if its documents have this digest.

        Raises
        ------
        OutsideError
            If there is none of this version.
        """
        found = self.find(version)
        return found if found.digest == digest else replace(found, digest=digest, remains=None)

    def read(self, snapshot: Snapshot, *, near_copies: bool = True) -> pa.Table:
        """Return the usable documents of a snapshot, in the order of their content.

        Parameters
        ----------
        snapshot : Snapshot
            The snapshot.
        near_copies : bool
            Whether to look for near-copies, for the column ``representative``.

        Raises
        ------
        OutsideError
            If what is stored is not what the snapshot's digest says.
        """
        if snapshot.draft is None:
            return self._read_earlier(snapshot)
        inputs = TextInputs.column.name if snapshot.draft.kinds is None else RECORDS
        read = [*_READ[:7], inputs, *_READ[7:], "digest"]
        if not near_copies:
            read.remove("sketch")
        used = in_order(self._judged(snapshot, [*LIGHT, *read]), status="used")
        # What was read and left out is given back: the rest is worked on beside it otherwise.
        pa.default_memory_pool().release_unused()
        raw = used.set_column(used.schema.get_field_index("label"), "label", used["raw_label"])
        found = digest_of(hash_array(row_digests(raw)), snapshot.draft.rules)
        if found != (snapshot.remains or snapshot.digest):
            raise damaged(snapshot)
        rows = used.select(read)
        return self._with_representatives(rows) if near_copies else rows

    def read_keys(self, snapshot: Snapshot, *, near_copies: bool = True) -> pa.Table:
        """Return what divides the usable documents of a snapshot, without their inputs.

        Columns that the snapshot does not have are left out. The parameters are those of `read`.
        """
        if snapshot.is_of_earlier_layout:
            return self.used_earlier(snapshot, KEY_COLUMNS)
        names = [name for name in KEY_COLUMNS if name in COLUMNS.names]
        names += ["sketch"] if near_copies else []
        rows = self.judged(snapshot, names)
        rows = rows.filter(pc.equal(rows["status"], "used")).select(names)
        return self._with_representatives(rows) if near_copies else rows

    def _with_representatives(self, rows: pa.Table) -> pa.Table:
        """Return documents with their representatives; only those that are new are compared."""
        kept = KeptGroups(self.uri, self._settings, lambda: self.erased().documents)
        return kept.representatives(rows)

    def judged(
        self, snapshot: Snapshot, columns: Sequence[str] = (), rules: Rules | None = None
    ) -> pa.Table:
        """Return every document that the collection had at a snapshot, used or not.

        Parameters
        ----------
        snapshot : Snapshot
            Of the layout of today.
        columns : sequence of str
            What is read of them, beside what judging needs.
        rules : Rules, optional
            By which they are judged; by those of the snapshot unless given.

        Returns
        -------
        Table
            With the columns that `perennial.documents.judgement.judge` adds, in the order of
            content.
        """
        return in_order(self._judged(snapshot, columns, rules))

    def _judged(
        self, snapshot: Snapshot, columns: Sequence[str], rules: Rules | None = None
    ) -> pa.Table:
        assert snapshot.draft is not None
        rules = rules or snapshot.draft.rules
        wanted = dict.fromkeys([*LIGHT, *columns])
        if rules.need_texts:
            wanted[TextInputs.column.name] = None
        rows = newest_revisions(self._revisions(snapshot.began, snapshot.version, list(wanted)))
        return judge(as_read(completed(rows, wanted), snapshot.draft.kinds), rules)

    def quarantine(self, snapshot: Snapshot, rules: Rules | None = None) -> pa.Table:
        """Return the documents that cannot be used at a snapshot, by its rules or by others.

        Returns
        -------
        Table
            With the columns ``id``, ``created_at``, ``code``, ``field``, ``reason``, ``copy_of``,
            ``raw`` and ``text`` where there is one; ``raw`` is extended JSON of a document that
            cannot be read. The earlier layout knew reasons, but no codes: they are null there.
        """
        columns = ["id", "created_at", "code", "field", "reason", "copy_of", "raw"]
        if snapshot.is_of_earlier_layout:
            rows = completed(self._of_earlier(snapshot, columns, ["quarantined"]), columns)
            return rows.append_column("copy_of", pa.nulls(len(rows), pa.string()))
        rows = self.judged(snapshot, ["raw", TextInputs.column.name], rules)
        rows = rows.filter(pc.equal(rows["status"], "quarantined"))
        texts = [name for name in (TextInputs.column.name,) if name in rows.column_names]
        return rows.select([*columns, *texts])

    def known_ids(self, snapshot: Snapshot | None) -> pa.Table:
        """Return ``id``, ``created_at``, ``digest`` and ``stored`` of every document it has.

        Empty without a snapshot, or after one of the earlier layout, whose documents are read anew.
        """
        names = ["id", "created_at", "digest", "stored", "deleted"]
        if snapshot is None or snapshot.is_of_earlier_layout:
            return pa.table({name: pa.array([], COLUMNS.field(name).type) for name in names})
        return newest_revisions(self._revisions(snapshot.began, snapshot.version, names))

    def feedback_contents(self, snapshot: Snapshot) -> pa.Array:
        """Return the content hashes of the usable documents that are feedback."""
        if snapshot.is_of_earlier_layout:
            rows = self.used_earlier(snapshot, ["id", "source", "content"])
        else:
            rows = self.judged(snapshot)
            rows = rows.filter(pc.equal(rows["status"], "used"))
        return feedback_contents(rows)

    def every_feedback_content(self, snapshot: Snapshot) -> pa.Array:
        """Return the content hashes of all feedback that was read up to a snapshot."""
        rows = self._revisions(0, snapshot.version, ["id", "source", "content"])
        return feedback_contents(rows.filter(pc.is_valid(rows["content"])))

    def append(
        self, revisions: Iterable[pa.Table], draft: Draft, after: Snapshot | None
    ) -> Snapshot:
        """Append the revisions of one ingestion, and the snapshot that they make.

        Parameters
        ----------
        revisions : iterable of Table
            Revisions of `perennial.documents.revisions`, at most one of each document; written as
            they come, so that they need not be in memory at once.
        draft : Draft
            What is known of the snapshot.
        after : Snapshot or None
            The snapshot that was the latest when the ingestion began.

        Raises
        ------
        SnapshotConflictError
            If `after` is not the latest any more; nothing was written.
        OutsideError
            If the storage refuses.
        """
        table = self._opened()
        latest = self.latest()
        if len({None if each is None else each.version for each in (latest, after)}) > 1:
            raise SnapshotConflictError(f"snapshot {latest and latest.version} was written since")
        version = 0 if after is None else after.version + 1
        began = after.began if after and not after.is_of_earlier_layout else version
        tables = iter(revisions)
        first = next(tables, None)
        schema = table_schema(first.schema if first is not None else COLUMNS)
        written: list[Snapshot] = []

        # Read before the table is written: the storage does not let itself be read meanwhile.
        with_texts = draft.rules.need_texts
        earlier = []
        if after is not None and after.draft is not None:
            with_texts |= after.draft.rules.need_texts
            earlier.append(self.light_revisions(after, with_texts=with_texts))

        def conclude(light: list[pa.Table]) -> pa.RecordBatch:
            snapshot = self._conclude(draft, after, version, began, earlier, light)
            written.append(snapshot)
            return row_of(snapshot, schema)

        batches = batches_of(first, tables, version, schema, conclude, with_texts=with_texts)
        self.table.append(batches, schema, table, partition_by="kind", few_values=FEW_VALUES)
        self.table.keep_small()
        return written[0]

    def _conclude(
        self,
        draft: Draft,
        after: Snapshot | None,
        version: int,
        began: int,
        earlier: list[pa.Table],
        light: list[pa.Table],
    ) -> Snapshot:
        """Return the snapshot that an earlier one and further revisions make.

        The tables are taken out of their lists: what is large is not held longer than needed.
        """
        before = None
        if earlier and after is not None and after.draft is not None:
            before = judge(newest_revisions(earlier[0]), after.draft.rules).select(COMPARED)
        rows = [*earlier, *light] or [completed(pa.table({}), [*LIGHT, "version"])]
        for held in (earlier, light):
            held.clear()
        newest = newest_revisions(pa.concat_tables(rows, promote_options="permissive"))
        rows.clear()
        judged = judge(newest, draft.rules)
        digests = judged["digest"].filter(pc.equal(judged["status"], "used"))
        return Snapshot(
            problem=self.problem,
            version=version,
            digest=digest_of(digests, draft.rules),
            documents=len(digests),
            uri=self.uri,
            watermark=watermark_of(newest, after),
            draft=draft,
            accounts=account(before, judged),
            taken_at=datetime.now(UTC),
            began=began,
        )

    def light_revisions(self, up_to: Snapshot | None, *, with_texts: bool) -> pa.Table:
        """Return what judging needs of every revision of a snapshot, with its version.

        Of every revision there ever was, if no snapshot is given.
        """
        first, last = 0, _LAST
        if up_to is not None:
            first, last = up_to.began, up_to.version
        wanted = [*LIGHT, "version", *([TextInputs.column.name] if with_texts else [])]
        return completed(self._revisions(first, last, wanted), wanted)

    def erased(self) -> Tombstones:
        """Return which documents were erased, and must not be read again."""
        if self._opened() is None:
            return Tombstones(self.problem)
        rows = self.table.read(["id", "record"], [("kind", "=", TOMBSTONE)])
        return Tombstones.read(self.problem, rows)

    def bury(self, tombstones: Sequence[Tombstone]) -> None:
        """Write down that documents are erased: from now on they are not read any more.

        Raises
        ------
        SnapshotConflictError
            If somebody else has written meanwhile; nothing was written.
        OutsideError
            If the storage refuses.
        """
        table = self._opened()
        schema = table_schema(COLUMNS)
        rows = pa.table(
            {
                "kind": [TOMBSTONE] * len(tombstones),
                "id": [each.document for each in tombstones],
                "record": [each.as_json() for each in tombstones],
            }
        )
        batches = conformed(rows, schema).to_batches()
        self.table.append(batches, schema, table, partition_by="kind", few_values=FEW_VALUES)

    def snapshots(self) -> Iterator[Snapshot]:
        """Yield every snapshot, the newest first; none is parsed before it is asked for."""
        if self._opened() is None:
            return
        rows = self.table.read(["version", "record"], [("kind", "=", SNAPSHOT)])
        if not len(rows) and not len(self.table.read(["id"], [("kind", "=", TOMBSTONE)])):
            raise OutsideError(f"The table at {self.uri} (DATA_URI) was not written by Perennial.")
        for record in rows.sort_by([("version", "descending")])["record"].to_pylist():
            yield from_json(self.problem, self.uri, record)

    def _opened(self) -> DeltaTable | None:
        """Return the table, with what the earlier layout wrote carried over into it."""
        table = self.table.open()
        if table is not None:
            return table
        earlier = self._earlier.open()
        if earlier is None:
            return None
        # Otherwise another process carries it over.
        with suppress(SnapshotConflictError):
            schema, batches = earlier_layout.as_revisions(self.problem, earlier, self._earlier)
            self.table.append(batches, schema, None, partition_by="kind", few_values=FEW_VALUES)
        return self.table.open()

    def _revisions(self, first: int, last: int, columns: Sequence[str]) -> pa.Table:
        wanted = [*dict.fromkeys([*columns, "version"])]
        filters = [("kind", "=", REVISION), ("version", ">=", first), ("version", "<=", last)]
        return self.table.read(wanted, filters)

    def _of_earlier(
        self, snapshot: Snapshot, columns: Sequence[str], statuses: Sequence[str]
    ) -> pa.Table:
        wanted = [*dict.fromkeys([*columns, "status"])]
        rows = self._revisions(0, snapshot.version, wanted)
        rows = rows.filter(pc.is_in(rows["status"], pa.array(statuses, pa.string())))
        return rows.select([name for name in columns if name in rows.column_names])

    def used_earlier(self, snapshot: Snapshot, columns: Sequence[str]) -> pa.Table:
        """Return some columns of the documents that a snapshot of the earlier layout uses.

        Feedback gives way as soon as the collection has a document of equal content.
        """
        wanted = [*dict.fromkeys([*columns, "id", "source", "content"])]
        rows = self._of_earlier(snapshot, wanted, ["used"])
        given_way = superseded(rows)
        return rows.filter(pa.array(~given_way)) if given_way.any() else rows

    def _read_earlier(self, snapshot: Snapshot) -> pa.Table:
        inputs = (TextInputs.column.name, earlier_layout.INPUTS)
        rows = self.used_earlier(snapshot, [*_READ[:7], *inputs, *_READ[7:]])
        return earlier_layout.verified(rows, snapshot)
