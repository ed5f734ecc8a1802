"""Records of fields as inputs: which can be used, and what makes two of them the same."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from perennial import paths
from perennial.fields import KINDS, FieldKind
from perennial.fields.base import Value, is_nan
from perennial.hashing import digest
from perennial.inputs.identity import FIRST_IDENTITY, hash_array, require_version
from perennial.inputs.validation import require
from perennial.reasons import ReasonCode, UnusableError, WrongValueError
from perennial.text.normal_form import normal_value

Record = dict[str, Value]

# The column of a snapshot that holds them.
RECORDS = "inputs"


def check_record(
    fields: Mapping[str, FieldKind], given: Mapping[str, Any], required: Collection[str] = ()
) -> Record:
    """Return the values of the declared fields, each of its kind; None where there is none.

    Whole numbers become floating ones, and -0 becomes 0, so that equal values are the same value.

    Parameters
    ----------
    fields : mapping of str to str
        The declared fields, by their paths; others in `given` are ignored.
    given : mapping of str to object
        A document, or what somebody sent.
    required : collection of str
        The fields that must have a value.

    Raises
    ------
    UnusableError
        If a value is of another kind, infinite or beyond what models take, or overlong, if a
        required one is missing, or all are.
    """
    record: Record = {}
    missing = 0
    for name, kind in fields.items():
        value = given.get(name, paths.MISSING)
        if value is paths.MISSING:
            value = paths.read(given, name)
        try:
            record[name] = KINDS[kind].check(value)
        except ValueError as error:
            _require_missing(given, name, value, kind, error, name in required)
            record[name] = None
            missing += 1
    if missing == len(record):
        first = next(iter(fields))
        require(given, first)
        raise UnusableError(ReasonCode.MISSING, first)
    return record


def _require_missing(
    given: Mapping[str, Any],
    name: str,
    value: Any,
    kind: FieldKind,
    error: ValueError,
    is_required: bool,
) -> None:
    """Raise `UnusableError` unless a value that is none of its kind may be missing."""
    if value is paths.MISSING or value is None:
        if is_required or paths.leads_into_list(given, name):
            require(given, name)
    elif is_required or not KINDS[kind].is_missing(value):
        code = error.code if isinstance(error, WrongValueError) else ReasonCode.WRONG_TYPE
        raise UnusableError(code, name, str(error), value=value) from None


def canonical(record: Mapping[str, Value]) -> str:
    """Return a record as text, the same for equal values in whatever order they come.

    What is missing leaves no trace: a record stays the same when a problem gets another field.
    """
    record = {name: value for name, value in record.items() if value is not None}
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)


class TabularInputs:
    """One record of fields per document.

    Parameters
    ----------
    fields : mapping of str to str
        As the problem declares them.
    required : sequence of str
        Those that must have a value.
    """

    def __init__(self, fields: Mapping[str, FieldKind], required: Sequence[str] = ()) -> None:
        self.fields = fields
        self.names = tuple(fields)
        self.required = tuple(required)
        self.column = pa.field(
            RECORDS,
            pa.struct([pa.field(name, KINDS[kind].arrow_type()) for name, kind in fields.items()]),
        )

    def read(self, document: Mapping[str, Any], *, limited: bool = True) -> Record:
        """Return the record of a document; see `perennial.inputs.base.Inputs.read`."""
        return check_record(self.fields, document, self.required)

    def content_hash(self, value: Record, version: int = FIRST_IDENTITY) -> bytes:
        """Return the identity of the values; the order of the fields does not matter."""
        require_version(version)
        if version > FIRST_IDENTITY:
            value = {name: _normal(each) for name, each in value.items()}
        return digest(canonical(value).encode())

    def content_hashes(self, column: pa.Array, version: int) -> pa.FixedSizeBinaryArray:
        """Return the identities of records."""
        return hash_array(self.content_hash(value, version) for value in column.to_pylist())

    def write(self, value: Record) -> dict[str, Any]:
        """Return the fields that have a value."""
        return {name: each for name, each in value.items() if each is not None}


def _normal(value: Value) -> Value:
    if isinstance(value, str):
        return normal_value(value)
    return sorted(map(normal_value, value)) if isinstance(value, list) else value


def values_of(records: Any, name: str, *, is_required: bool) -> Sequence[Any]:
    """Return the values of a field of many records, however a caller holds these.

    Parameters
    ----------
    records : Arrow struct array, sequence of mappings, or frame
        The records.
    name : str
        The field.
    is_required : bool
        Whether every record must have it; otherwise None stands in the place of what is missing.

    Raises
    ------
    KeyError
        If a record does not have what it must.
    """
    if isinstance(records, pa.ChunkedArray):
        records = records.combine_chunks()
    if isinstance(records, pa.StructArray):
        found: list[Any] = records.field(name).to_pylist()
        return found
    if isinstance(records, Sequence):
        if is_required:
            return [record[name] for record in records]
        return [record.get(name) for record in records]
    if not is_required and name not in records:
        return [None] * len(records)
    values: list[Any] = records[name].tolist()
    # A frame has NaN in the place of what is missing.
    return [None if is_nan(value) else value for value in values]
