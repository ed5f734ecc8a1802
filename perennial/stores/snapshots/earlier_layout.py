"""The earlier layout of snapshots: one row per document that was ever read, judged at that time.

It had a version of the Delta table for each snapshot. What it wrote is carried over into the
history of revisions once, with the judgement of then, so that its snapshots are read as before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs, parquet

from perennial.documents.documents import snapshot_digest
from perennial.hashing import digest
from perennial.inputs.identity import hash_array
from perennial.inputs.records import RECORDS, canonical
from perennial.stores.snapshots.delta import Table
from perennial.stores.snapshots.snapshot import (
    REVISION,
    Snapshot,
    conformed,
    damaged,
    row_of,
    table_schema,
)

_DIGEST, _DOCUMENTS, _WATERMARK = (
    "perennial.digest",
    "perennial.documents",
    "perennial.watermark",
)
_DIGESTED = 8_192
# How a record's fields were and are stored: without their kinds.
INPUTS = "earlier_inputs"


def as_revisions(
    problem: str, table: DeltaTable, place: Table
) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    """Return what a table of the earlier layout has, as rows of the history, and their schema."""
    snapshots, tables = _read(table, place)
    first = next(tables)
    schema = table_schema(first.schema)
    batches = [
        batch
        for rows in chain([first], tables)
        for batch in conformed(
            rows.append_column("kind", pa.array([REVISION] * len(rows))), schema
        ).to_batches()
    ]
    records = [row_of(Snapshot(problem, uri=place.uri, **said), schema) for said in snapshots]
    return schema, [*batches, *records]


def _read(table: DeltaTable, place: Table) -> tuple[list[dict[str, Any]], Iterator[pa.Table]]:
    """Return the snapshots of a table of the earlier layout, and its rows with their versions.

    Raises
    ------
    OutsideError
        If the table cannot be read, or was not written by Perennial.
    """
    try:
        files = fs.PyFileSystem(DeltaStorageHandler(table.table_uri, place.options))
        commits = [_commit(files, version) for version in range(table.version() + 1)]
    except Exception as error:
        raise place.outside("read", error) from error
    snapshots: list[dict[str, Any]] = []
    said: dict[str, Any] = {}
    for version, (information, _) in enumerate(commits):
        # What another program added, when it merged files, has the documents of the one before.
        said = information if _DIGEST in information else said
        if said:
            snapshots.append({"version": version, **_parts(said)})
    if not snapshots:
        raise place.outside("read", ValueError("it was not written by Perennial"))
    added = [(version, each) for version, (_, adds) in enumerate(commits) for each in adds]
    return snapshots, _rows(files, added, place)


def _parts(information: Mapping[str, Any]) -> dict[str, Any]:
    watermark = information.get(_WATERMARK)
    return {
        "digest": information[_DIGEST],
        "documents": int(information[_DOCUMENTS]),
        "watermark": None if watermark is None else datetime.fromisoformat(watermark),
    }


def _commit(files: fs.FileSystem, version: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a commit says of itself, and the files that it added."""
    with files.open_input_stream(f"_delta_log/{version:020}.json") as stream:
        actions = [json.loads(line) for line in stream.read().decode().splitlines() if line]
    information: dict[str, Any] = next(
        (each["commitInfo"] for each in actions if "commitInfo" in each), {}
    )
    adds = [each["add"] for each in actions if "add" in each and each["add"]["dataChange"]]
    return information, adds


def _rows(
    files: fs.FileSystem, added: list[tuple[int, dict[str, Any]]], place: Table
) -> Iterator[pa.Table]:
    for version, each in added:
        try:
            with files.open_input_file(each["path"]) as file:
                rows = parquet.read_table(file)
        except Exception as error:
            raise place.outside("read", error) from error
        status = each["partitionValues"]["status"]
        rows = rows.append_column("status", pa.array([status] * len(rows)))
        rows = rows.append_column("version", pa.array([version] * len(rows), pa.int64()))
        names = [INPUTS if name == RECORDS else name for name in rows.column_names]
        yield rows.rename_columns(names)


def with_plain_records(rows: pa.Table) -> pa.Table:
    """Return rows that were carried over with their records in the column of today."""
    if INPUTS not in rows.column_names:
        return rows
    names = [name for name in rows.column_names if name != RECORDS]
    return rows.select(names).rename_columns(
        [RECORDS if name == INPUTS else name for name in names]
    )


def verified(rows: pa.Table, snapshot: Snapshot) -> pa.Table:
    """Return the documents of a snapshot as they are read, in the order of their content.

    Raises
    ------
    OutsideError
        If they are not what its digest says.
    """
    rows = with_plain_records(rows)
    if snapshot_digest(row_digests(rows)) != (snapshot.remains or snapshot.digest):
        raise damaged(snapshot)
    return rows.sort_by("content")


def row_digests(rows: pa.Table) -> pa.Array:
    """Return a digest of each document as the earlier layout made it: of id, label and input."""
    inputs = RECORDS if RECORDS in rows.column_names else "text"
    # Few rows at once are Python objects.
    return hash_array(
        digest(b"".join(map(_framed, row)))
        for some in rows.select(["id", "label", inputs]).to_batches(_DIGESTED)
        for row in zip(*(column.to_pylist() for column in some.columns), strict=True)
    )


def _framed(value: Any) -> bytes:
    """Return a value after its length, so that no text can pass for the end of another."""
    text = canonical(value) if isinstance(value, dict) else value or ""
    data = text.encode()
    return len(data).to_bytes(8, "little") + data
