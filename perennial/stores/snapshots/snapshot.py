"""The record of a snapshot: what it is, where it is, and by which rules it is judged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial.documents.accounts import Accounts
from perennial.documents.documents import snapshot_digest
from perennial.documents.judgement import JUDGED, Rules
from perennial.documents.revisions import COLUMNS
from perennial.errors import OutsideError
from perennial.formats import SNAPSHOT as SNAPSHOT_FORMAT
from perennial.formats import require_readable
from perennial.inputs.base import TextInputs

REVISION, SNAPSHOT, SAMPLE = "revision", "snapshot", "sample"
# Beside what every revision has, and the input.
_BOOKKEEPING = pa.schema(
    [
        ("kind", pa.string()),
        ("version", pa.int64()),
        ("record", pa.string()),
        # Only of rows that were written before there were revisions: what became of them then.
        ("status", pa.string()),
    ]
)
LIGHT = (*JUDGED, "deleted", "digest")
_TIMES = ("watermark", "taken_at", "reconciled_at")


@dataclass(frozen=True)
class Draft:
    """What is known of a snapshot before its revisions are written.

    Attributes
    ----------
    rules : Rules
        The labels and limits by which it is judged.
    reading : str
        Digest of how documents were read.
    identity : int
        Version of the identity that its contents are of.
    kinds : mapping of str to str, or None
        The fields of its records with their kinds; None if its inputs are texts.
    reconciled_at : datetime or None
        When the whole collection was last compared with the history.
    resume_token : str or None
        Where MongoDB's change stream goes on, as JSON; None if the server has none.
    """

    rules: Rules
    reading: str
    identity: int
    kinds: Mapping[str, str] | None
    reconciled_at: datetime | None = None
    resume_token: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """What one retraining sees.

    Attributes
    ----------
    problem : str
        Name of the problem.
    version : int
        Its number; a problem's snapshots are numbered from 0.
    digest : str
        Digest of the documents in it, whatever their order and files.
    documents : int
        How many documents can be used.
    uri : str
        Where the table is.
    watermark : datetime or None
        Newest time of creation of a document that was read, those dated in the future left out:
        they must not hide what arrives until then. None if no document had a date.
    draft : Draft or None
        How it was read and judged; None for one of the earlier layout.
    accounts : Accounts
        What has become of the documents since the snapshot before.
    taken_at : datetime or None
        When it was written; None for one of the earlier layout.
    began : int
        The first version whose revisions belong to it: what the earlier layout wrote does not.
    erased : int
        How many of the documents that could be used have been erased since.
    remains : str or None
        Digest of the documents that are left after an erasure; `digest`, by which versions name the
        snapshot, stays what it was.
    """

    problem: str
    version: int
    digest: str
    documents: int
    uri: str
    watermark: datetime | None = None
    draft: Draft | None = None
    accounts: Accounts = field(default_factory=Accounts)
    taken_at: datetime | None = None
    began: int = 0
    erased: int = 0
    remains: str | None = None

    @property
    def is_of_earlier_layout(self) -> bool:
        """Whether it was written before there were revisions."""
        return self.draft is None

    def as_json(self) -> str:
        """Return the record as JSON, without what names the problem and the place of the table."""
        said = {name: value for name, value in vars(self).items() if name not in ("problem", "uri")}
        said |= {"format": SNAPSHOT_FORMAT, "accounts": self.accounts.as_json()}
        if self.draft is not None:
            said["draft"] = vars(self.draft) | {"rules": vars(self.draft.rules)}
        return json.dumps(said, default=lambda value: value.isoformat())


def from_json(problem: str, uri: str, record: str) -> Snapshot:
    """Return a snapshot from its record."""
    said = _with_times(json.loads(record))
    require_readable(
        f"Snapshot {said.get('version')} of {problem!r} at {uri} (DATA_URI)",
        said.pop("format", SNAPSHOT_FORMAT),
        SNAPSHOT_FORMAT,
    )
    said["accounts"] = Accounts.read(said["accounts"])
    if said["draft"] is not None:
        draft = _with_times(said["draft"])
        said["draft"] = Draft(**draft | {"rules": Rules.read(draft["rules"])})
    return Snapshot(problem=problem, uri=uri, **said)


def _with_times(said: dict[str, Any]) -> dict[str, Any]:
    times = {
        name: datetime.fromisoformat(said[name]) for name in _TIMES if said.get(name) is not None
    }
    return said | times


def batches_of(
    first: pa.Table | None,
    rest: Iterator[pa.Table],
    version: int,
    schema: pa.Schema,
    conclude: Callable[[list[pa.Table]], pa.RecordBatch],
    *,
    with_texts: bool,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of revisions as they come, and then the record of their snapshot."""
    light: list[pa.Table] = []
    table = first
    while table is not None:
        table = table.append_column("kind", pa.array([REVISION] * len(table)))
        table = table.append_column("version", pa.array([version] * len(table), pa.int64()))
        texts = [name for name in (TextInputs.column.name,) if with_texts]
        light.append(table.select([*LIGHT, "version", *texts]))
        yield from conformed(table, schema).to_batches()
        table = next(rest, None)
    yield conclude(light)


def table_schema(revisions: pa.Schema) -> pa.Schema:
    """Return the schema of the table, with the columns of some revisions."""
    names = set(revisions.names)
    added = [each for each in (*COLUMNS, *_BOOKKEEPING) if each.name not in names]
    return pa.schema([*revisions, *added])


def conformed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with the columns of a schema, which are null where rows lack them."""
    columns = [
        rows[each.name].cast(each.type)
        if each.name in rows.column_names
        else pa.nulls(len(rows), each.type)
        for each in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def row_of(snapshot: Snapshot, schema: pa.Schema) -> pa.RecordBatch:
    """Return the row that keeps the record of a snapshot."""
    version = pa.array([snapshot.version], pa.int64())
    row = pa.table({"kind": [SNAPSHOT], "version": version, "record": [snapshot.as_json()]})
    return conformed(row, schema).to_batches()[0]


def digest_of(digests: pa.Array | pa.ChunkedArray, rules: Rules) -> str:
    """Return the digest of a snapshot: of its documents, and of what its labels mean."""
    said = json.dumps([snapshot_digest(digests), rules.labels]).encode()
    return hashlib.sha256(said).hexdigest()[:32]


def watermark_of(rows: pa.Table, after: Snapshot | None) -> datetime | None:
    """Return the newest time of creation of what was read, if it is past."""
    kind = COLUMNS.field("created_at").type
    past = pc.less_equal(rows["created_at"], pa.scalar(datetime.now(UTC), kind))
    times = [after.watermark if after else None, pc.max(rows["created_at"].filter(past)).as_py()]
    return max((time for time in times if time is not None), default=None)


def damaged(snapshot: Snapshot) -> OutsideError:
    """Return the error that says that a snapshot is not what its digest says."""
    return OutsideError(
        f"Snapshot {snapshot.version} of {snapshot.problem!r} at {snapshot.uri} (DATA_URI) is "
        f"damaged: its documents do not have the digest {snapshot.digest}."
    )
