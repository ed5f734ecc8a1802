"""Revisions: what is kept of each document each time it changes, independent of labels and limits.

A row holds the raw value of the label and the input as it was read. What the problem's labels and
limits say of it is judged later, by `perennial.documents.judgement`, so that a mended problem file
applies to what was read before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from bson import json_util
from numpy.typing import NDArray

from perennial import paths
from perennial.config.problem import Problem
from perennial.config.sections.feedback import SENDER, provenance_field
from perennial.documents.ids import hashes_of
from perennial.documents.keys import document_key, field_label_key, label_key
from perennial.gates.slices import traits_of
from perennial.hashing import digest
from perennial.inputs.base import Inputs, TextInputs, inputs_of
from perennial.inputs.identity import FIRST_IDENTITY, hash_array
from perennial.inputs.near_copies import sketches
from perennial.inputs.records import RECORDS, canonical
from perennial.inputs.validation import require_date, require_text, require_utf8
from perennial.reasons import UnusableError
from perennial.text.normal_form import normal_value
from perennial.text.scripts import count_words

# More words than that are counted only where a problem asks for more.
COUNTED_WORDS = 16
_RAW_CHARACTERS = 10_000
_DIGESTED = 8_192
# How documents are read. A new number lets every problem read its documents once more.
_READING = 1
# How their groups are read: since 1 in the normal form of texts that name something.
_GROUPS = 1

_TRAITS = pa.map_(pa.string(), pa.string())
# What every revision has, beside the input.
COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("deleted", pa.bool_()),
        ("created_at", pa.timestamp("us", "UTC")),
        ("source", pa.string()),
        ("sender", pa.string()),
        ("group", pa.string()),
        ("label", pa.string()),
        ("words", pa.int32()),
        ("characters", pa.int32()),
        ("content", pa.binary()),
        ("sketch", pa.binary()),
        ("digest", pa.binary()),
        ("stored", pa.int64()),
        ("code", pa.string()),
        ("field", pa.string()),
        ("reason", pa.string()),
        ("raw", pa.string()),
        ("fields", _TRAITS),
    ]
)
# Neither a text nor a record; `deleted` is the only other thing that such a row says.
_COUNTS = ("created_at", "source", "sender", "group", "label", "code", "field", "reason")


@dataclass(frozen=True)
class Found:
    """A document as it was found in MongoDB.

    Attributes
    ----------
    document : mapping
        The fields that are read of it, with ``_id``.
    stored : int
        A digest of the bytes that MongoDB sent, to see whether it has changed.
    """

    document: Mapping[str, Any]
    stored: int


def reading_digest(problem: Problem, identity: int) -> str:
    """Return a digest of all that decides how documents are read; labels and limits do not.

    Parameters
    ----------
    problem : Problem
        The problem.
    identity : int
        The version of the identity of its inputs.
    """
    slices = problem.gates.slices
    inputs = inputs_of(problem)
    said: dict[str, Any] = {
        "reading": _READING,
        "identity": identity,
        "fields": problem.source.fields.model_dump(),
        "query": json_util.dumps(problem.source.query, sort_keys=True),
        "inputs": inputs.fields,
        "slices": list(slices.fields) if slices else [],
        "group": problem.split.field and [problem.split.field, _GROUPS],
    }
    if inputs.fields is not None and set(inputs.required) != set(inputs.fields):
        # Problems that require every field read as they did when there was no other way.
        said["required"] = inputs.required
    if problem.redact is not None:
        said["redact"] = problem.redact.model_dump()
    return digest(json.dumps(said, sort_keys=True, default=str).encode()).hex()


def schema_of(inputs: Inputs) -> pa.Schema:
    """Return the schema of revisions with inputs of this kind, as they are stored.

    The fields of a record are stored with their kind in the name: after a field has become one of
    another kind, both are there.
    """
    return COLUMNS.append(stored_column(inputs))


def stored_column(inputs: Inputs) -> pa.Field:
    """Return the column of a revision that holds the inputs."""
    if inputs.fields is None:
        return inputs.column
    stored = [
        pa.field(stored_name(name, kind), inputs.column.type.field(name).type)
        for name, kind in inputs.fields.items()
    ]
    return pa.field(RECORDS, pa.struct(stored))


def stored_name(name: str, kind: str) -> str:
    """Return the name under which a field of this kind is stored."""
    return f"{name}:{kind}"


def as_read(rows: pa.Table, fields: Mapping[str, str] | None) -> pa.Table:
    """Return revisions with their records as the model takes them; texts are that already."""
    if fields is None or RECORDS not in rows.column_names:
        return rows
    stored = rows[RECORDS].combine_chunks()
    if isinstance(stored, pa.ChunkedArray):
        stored = pa.concat_arrays(stored.chunks) if stored.num_chunks else None
    names = list(fields)
    if stored is None or not len(rows):
        types = {f.name: f.type for f in rows.schema.field(RECORDS).type}
        empty = pa.struct([(n, types[stored_name(n, k)]) for n, k in fields.items()])
        place = rows.schema.get_field_index(RECORDS)
        return rows.set_column(place, pa.field(RECORDS, empty), pa.array([], empty))
    columns = [stored.field(stored_name(name, kind)) for name, kind in fields.items()]
    struct = pa.StructArray.from_arrays(columns, names, mask=stored.is_null())
    return rows.set_column(rows.schema.get_field_index(RECORDS), RECORDS, struct)


def as_stored(rows: pa.Table, fields: Mapping[str, str], column: pa.StructType) -> pa.Table:
    """Return documents with their records as a table with this column stores them.

    Parameters
    ----------
    rows : Table
        Documents with records as the model takes them.
    fields : mapping of str to str
        Name -> kind of their fields.
    column : StructType
        Of the table; it may have fields of other times, which are null in these documents.
    """
    records = rows[RECORDS].combine_chunks()
    given = {stored_name(name, kind): records.field(name) for name, kind in fields.items()}
    columns = [
        given[each.name].cast(each.type) if each.name in given else pa.nulls(len(rows), each.type)
        for each in column
    ]
    stored = pa.StructArray.from_arrays(columns, fields=list(column), mask=records.is_null())
    return rows.set_column(rows.schema.get_field_index(RECORDS), RECORDS, stored)


def to_revisions(found: Iterable[Found], problem: Problem, identity: int) -> pa.Table:
    """Return documents as revisions, one row each, in the schema of `schema_of`.

    Parameters
    ----------
    found : iterable of Found
        The documents; few enough to be in memory as Python objects.
    problem : Problem
        Where their fields are.
    identity : int
        The version of the identity that becomes their content.
    """
    inputs = inputs_of(problem)
    # The same for all of them, and slow to find out for each.
    sender = sender_path(problem)
    rows = [_revise(each, problem, inputs, identity, sender) for each in found]
    schema = schema_of(inputs)
    name = inputs.column.name
    columns = []
    for field in schema:
        if field.name == name and inputs.fields is not None:
            columns.append(_records([row.get(name) for row in rows], inputs, field.type))
        else:
            columns.append(pa.array([row.get(field.name) for row in rows], field.type))
    table = pa.Table.from_arrays(columns, schema=schema)
    if inputs.fields is None and identity > FIRST_IDENTITY:
        made = sketches(table[name].fill_null("").combine_chunks()).cast(pa.binary())
        table = table.set_column(schema.get_field_index("sketch"), schema.field("sketch"), made)
    return _with_digests(table, inputs)


def deletions(ids: Iterable[str], schema: pa.Schema) -> pa.Table:
    """Return revisions that say of documents that they are not in the collection any more."""
    keys = pa.array(list(ids), pa.string())
    columns = [
        keys
        if field.name == "id"
        else pa.array([True] * len(keys), pa.bool_())
        if field.name == "deleted"
        else pa.nulls(len(keys), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _with_digests(rows: pa.Table, inputs: Inputs) -> pa.Table:
    digests = hash_array(row_digests(as_read(rows, inputs.fields))).cast(pa.binary())
    return rows.set_column(rows.schema.get_field_index("digest"), COLUMNS.field("digest"), digests)


def row_digests(rows: pa.Table) -> Iterator[bytes]:
    """Yield a digest of each revision as it is read: of all that counts, whatever the files."""
    inputs = next(name for name in (TextInputs.column.name, RECORDS) if name in rows.column_names)
    # Few rows at once are Python objects.
    for some in rows.select(["id", inputs, *_COUNTS, "fields"]).to_batches(_DIGESTED):
        columns = [
            (column.cast(pa.int64()) if name == "created_at" else column).to_pylist()
            for name, column in zip(some.schema.names, some.columns, strict=True)
        ]
        for *row, fields in zip(*columns, strict=True):
            yield digest(b"".join(map(_framed, (*row, dict(sorted(fields)) if fields else None))))


def _framed(value: object) -> bytes:
    """Return a value after its length, so that no text can pass for the end of another."""
    if value is None:
        return b"\0" * 9
    if isinstance(value, dict):
        # A record of other fields than its own has nulls in theirs.
        value = canonical({name: each for name, each in value.items() if each is not None})
    data = str(value).encode("utf-8", "surrogatepass")
    return b"\1" + len(data).to_bytes(8, "little") + data


def _records(values: list[Any], inputs: Inputs, kind: pa.DataType) -> pa.Array:
    assert inputs.fields is not None
    columns = [
        pa.array([None if record is None else record[name] for record in values], kind[place].type)
        for place, name in enumerate(inputs.fields)
    ]
    names = [stored_name(*item) for item in inputs.fields.items()]
    absent = pa.array([record is None for record in values], pa.bool_())
    return pa.StructArray.from_arrays(columns, names, mask=absent)


def _revise(
    found: Found, problem: Problem, inputs: Inputs, identity: int, sender: str
) -> dict[str, Any]:
    document, names = found.document, problem.source.fields
    row: dict[str, Any] = {
        "id": document_key(document["_id"]),
        "deleted": False,
        "stored": found.stored,
        "label": field_label_key(document, names.label),
    }
    try:
        row["created_at"] = require_date(document, names.created_at)
        value = inputs.read(document, limited=False)
        if inputs.fields is None:
            require_utf8(inputs.names[0], value)
        row["source"] = _source(document, names.source)
    except UnusableError as error:
        return row | _unusable(document, problem, error)
    row |= {inputs.column.name: value, "content": inputs.content_hash(value, identity)}
    row["group"] = _group(document, problem)
    if inputs.fields is None:
        row |= {
            "words": count_words(value, COUNTED_WORDS),
            "characters": len(value) if value.strip() else 0,
        }
    return row | {"fields": _traits(document, problem), "sender": _text_at(document, sender)}


def _source(document: Mapping[str, Any], path: str) -> str | None:
    if paths.read(document, path) in (None, paths.MISSING):
        return None
    source = require_text(document, path)
    require_utf8(path, source)
    return source


def _group(document: Mapping[str, Any], problem: Problem) -> str | None:
    """Return the value that a document's group has in common; None if it has none."""
    if problem.split.field is None:
        return None
    value = paths.read(document, problem.split.field)
    if value in (None, paths.MISSING):
        return None
    return label_key(normal_value(value) if isinstance(value, str) else value)


def sender_path(problem: Problem) -> str:
    """Return where a document that was made of feedback says who gave it."""
    names = problem.source.fields
    read = (*inputs_of(problem).names, names.label, names.created_at, names.source)
    return f"{provenance_field(read)}.{SENDER}"


def _text_at(document: Mapping[str, Any], path: str) -> str | None:
    found = paths.read(document, path)
    return found if isinstance(found, str) else None


def _traits(document: Mapping[str, Any], problem: Problem) -> dict[str, str] | None:
    """Return what slices need of a document beside what every snapshot keeps."""
    slices = problem.gates.slices
    return traits_of(document, slices.fields) if slices and slices.fields else None


def _unusable(
    document: Mapping[str, Any], problem: Problem, error: UnusableError
) -> dict[str, object]:
    created_at = paths.read(document, problem.source.fields.created_at)
    raw = json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS)
    reason = str(error)
    if problem.redact is not None:
        raw, reason = problem.redact.text(raw), problem.redact.text(reason)
    return {
        "code": error.code.value,
        "field": error.field,
        "reason": reason,
        "raw": raw[:_RAW_CHARACTERS].encode("utf-8", "replace").decode(),
        "created_at": created_at if isinstance(created_at, datetime) else None,
        "source": None,
    }


def newest_revisions(rows: pa.Table) -> pa.Table:
    """Return the newest revision of each document that is not deleted."""
    there = ~pc.fill_null(rows["deleted"], fill_value=False).to_numpy()
    there[_superseded(rows)] = False
    return rows if there.all() else rows.take(pa.array(np.flatnonzero(there)))


def _superseded(rows: pa.Table) -> NDArray[np.intp]:
    """Return the revisions of which there are newer ones."""
    # Most documents have one revision: only those that may have more are compared by their ids.
    hashes = hashes_of(rows["id"])
    order = np.argsort(hashes)
    same = hashes[order[1:]] == hashes[order[:-1]]
    several = np.zeros(len(rows), np.bool_)
    several[order[1:]] = same
    several[order[:-1]] |= same
    places = np.flatnonzero(several)
    places = places[np.argsort(rows["version"].take(pa.array(places)).to_numpy(), kind="stable")]
    ids = pa.array(rows["id"].take(pa.array(places)).combine_chunks(), pa.string())
    codes = ids.dictionary_encode().indices.to_numpy()
    newest = np.zeros(len(places), np.bool_)
    last = np.zeros(len(places), np.intp)
    last[codes] = np.arange(len(places))
    newest[last[codes]] = True
    return places[~newest]


def in_order(rows: pa.Table) -> pa.Table:
    """Return rows in the order of their content, which is a hash, and of their ids."""
    return rows.sort_by([("content", "ascending"), ("id", "ascending")])


def completed(rows: pa.Table, columns: Iterable[str]) -> pa.Table:
    """Return rows with those columns of every revision that the table did not have yet."""
    for name in columns:
        if name not in rows.column_names and name in COLUMNS.names:
            absent = COLUMNS.field(name)
            rows = rows.append_column(absent, pa.nulls(len(rows), absent.type))
    return rows
