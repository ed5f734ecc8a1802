"""Records of fields as inputs: which can be used, and what makes two of them the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from perennial.fields import KINDS, FieldKind
from perennial.fields.base import Value
from perennial.hashing import digest
from perennial.inputs.identity import FIRST_IDENTITY, hash_array, require_version
from perennial.inputs.validation import require
from perennial.reasons import ReasonCode, UnusableError, WrongValueError
from perennial.text.normal_form import normal_value

Record = dict[str, Value]

# The column of a snapshot that holds them.
RECORDS = "inputs"


def check_record(fields: Mapping[str, FieldKind], given: Mapping[str, Any]) -> Record:
    """Return the values of the declared fields, each of its kind.

    Whole numbers become floating ones, and -0 becomes 0, so that equal values are the same value.

    Parameters
    ----------
    fields : mapping of str to str
        The declared fields, by their paths; others in `given` are ignored.
    given : mapping of str to object
        A document, or what somebody sent.

    Raises
    ------
    UnusableError
        If a field is missing, null, of another kind, no finite number or one beyond what models
        take, or an empty or overlong category.
    """
    record: Record = {}
    for name, kind in fields.items():
        value = require(given, name)
        try:
            record[name] = KINDS[kind].check(value)
        except ValueError as error:
            code = error.code if isinstance(error, WrongValueError) else ReasonCode.WRONG_TYPE
            raise UnusableError(code, name, str(error), value=value) from None
    return record


def canonical(record: Mapping[str, Value]) -> str:
    """Return a record as text, the same for equal values in whatever order they come."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)


class TabularInputs:
    """One record of fields per document.

    Parameters
    ----------
    fields : mapping of str to str
        As the problem declares them.
    """

    def __init__(self, fields: Mapping[str, FieldKind]) -> None:
        self.fields = fields
        self.names = tuple(fields)
        self.column = pa.field(
            RECORDS,
            pa.struct([pa.field(name, KINDS[kind].arrow_type()) for name, kind in fields.items()]),
        )

    def read(self, document: Mapping[str, Any], *, limited: bool = True) -> Record:
        """Return the record of a document; see `perennial.inputs.base.Inputs.read`."""
        return check_record(self.fields, document)

    def content_hash(self, value: Record, version: int = FIRST_IDENTITY) -> bytes:
        """Return the identity of the values; the order of the fields does not matter."""
        require_version(version)
        if version > FIRST_IDENTITY:
            value = {
                name: normal_value(each) if isinstance(each, str) else each
                for name, each in value.items()
            }
        return digest(canonical(value).encode())

    def content_hashes(self, column: pa.Array, version: int) -> pa.FixedSizeBinaryArray:
        """Return the identities of records."""
        return hash_array(self.content_hash(value, version) for value in column.to_pylist())

    def write(self, value: Record) -> dict[str, Any]:
        """Return the fields as they are."""
        return dict(value)
