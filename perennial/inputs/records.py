"""Records of fields as inputs: which can be used, and what makes two of them the same."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from perennial.config.fields import FieldKind
from perennial.hashing import digest
from perennial.inputs.validation import UnusableError, require_utf8

if TYPE_CHECKING:
    pass

Value = float | str | bool
Record = dict[str, Value]

# The column of a snapshot that holds them.
RECORDS = "inputs"
_LONGEST_CATEGORY = 1_000
_TYPES: Mapping[FieldKind, pa.DataType] = {
    "number": pa.float64(),
    "category": pa.string(),
    "boolean": pa.bool_(),
}


_WORDS: Mapping[type, str] = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    dict: "an object",
    list: "a list",
}


class FieldError(ValueError):
    """A field cannot be used: `field` names it, the message says why without the name."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


def check_record(fields: Mapping[str, FieldKind], given: Mapping[str, Any]) -> Record:
    """Return the values of the declared fields, each of its kind.

    Whole numbers become floating ones, and -0 becomes 0, so that equal values are the same value.

    Parameters
    ----------
    fields : mapping of str to {"number", "category", "boolean"}
        The declared fields; others in `given` are ignored.
    given : mapping of str to object
        A document, or what somebody sent.

    Raises
    ------
    FieldError
        If a field is missing, null, of another kind, no finite number, or an empty or overlong
        category.
    """
    record: Record = {}
    for name, kind in fields.items():
        value = given.get(name)
        if value is None:
            raise FieldError(name, "is missing" if name not in given else "is null")
        try:
            record[name] = _CHECKS[kind](value)
        except ValueError as error:
            raise FieldError(name, str(error)) from None
    return record


def _said(value: object) -> str:
    return _WORDS.get(type(value), type(value).__name__)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"is {_said(value)}, not a number")
    try:
        # The sum makes 0.0 of -0.0.
        number = float(value) + 0.0
    except OverflowError:
        raise ValueError("is too large a number") from None
    if not math.isfinite(number):
        raise ValueError(f"is {number}, not a finite number")
    return number


def _category(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is {_said(value)}, not a text")
    if not value:
        raise ValueError("is empty")
    if len(value) > _LONGEST_CATEGORY:
        raise ValueError(f"has {len(value):,} characters, more than {_LONGEST_CATEGORY:,}")
    try:
        require_utf8("it", value)
    except UnusableError:
        raise ValueError("is not valid UTF-8") from None
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"is {_said(value)}, not true or false")
    return value


_CHECKS: Mapping[FieldKind, Callable[[Any], Value]] = {
    "number": _number,
    "category": _category,
    "boolean": _boolean,
}


def canonical(record: Mapping[str, Value]) -> str:
    """Return a record as text, the same for equal values in whatever order they come."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)


class TabularInputs:
    """One record of fields per document.

    Parameters
    ----------
    fields : mapping of str to {"number", "category", "boolean"}
        As the problem declares them.
    """

    def __init__(self, fields: Mapping[str, FieldKind]) -> None:
        self.fields = fields
        self.names = tuple(fields)
        self.column = pa.field(
            RECORDS, pa.struct([pa.field(name, _TYPES[kind]) for name, kind in fields.items()])
        )

    def read(self, document: Mapping[str, Any], *, limited: bool = True) -> Record:
        """Return the record of a document; see `perennial.inputs.base.Inputs.read`."""
        try:
            return check_record(self.fields, document)
        except FieldError as error:
            raise UnusableError(f"{error.field} {error}") from None

    def content_hash(self, value: Record) -> bytes:
        """Return the hash of the values; the order of the fields does not matter."""
        return digest(canonical(value).encode())

    def write(self, value: Record) -> dict[str, Any]:
        """Return the fields as they are."""
        return dict(value)
