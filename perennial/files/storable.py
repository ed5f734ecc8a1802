"""Values of files as MongoDB stores them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import bson
from bson.decimal128 import Decimal128
from bson.errors import BSONError

from perennial.files.rows import LARGEST

_LEAST, _MOST = -(2**63), 2**63 - 1
# Neither what MongoDB reads as an operator, nor a dot that leads from nothing or to nothing.
_NO_NAME = re.compile(r"^\$|\x00|^\.|\.$|\.(?=[.$])|(?<=\.)\$")
_NO_DATE = "is no date of ISO 8601; write it as 2026-01-31 or 2026-01-31T12:00:00+01:00"


@cache
def field_name(column: str) -> str:
    """Return the path of a column's values: its name, with ``_`` for what MongoDB does not take."""
    return _NO_NAME.sub("_", column) or "_"


def storable(value: Any) -> Any:
    """Return a value of a column that a problem does not declare; an empty text is none."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, dict):
        return {_key(name): storable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [storable(each) for each in value]
    return _scalar(value)


def _key(name: object) -> str:
    return field_name(str(name)).replace(".", "_")


def _scalar(value: Any) -> Any:
    is_large = isinstance(value, int) and not _LEAST <= value <= _MOST
    if is_large or isinstance(value, time | timedelta):
        return str(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    return as_utc(value) if isinstance(value, date) else value


def as_utc(value: date) -> datetime:
    """Return a day or a time as a time in UTC, which it is where it names no zone.

    Raises
    ------
    OverflowError
        If that is beyond the years 1 to 9999.
    """
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def read_date(value: Any) -> datetime:
    """Return the time that a text of ISO 8601 or a date of Parquet is.

    Raises
    ------
    ValueError
        If it is neither. The message is a predicate of the column.
    """
    try:
        found = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
        if isinstance(found, date):
            return as_utc(found)
    except (ValueError, OverflowError):
        raise ValueError(_NO_DATE) from None
    raise ValueError(_NO_DATE)


def why_not_stored(document: dict[str, Any]) -> str | None:
    """Return why MongoDB would refuse a document, as a predicate; None if it takes it."""
    try:
        size = len(bson.encode(document))
    except UnicodeError:
        return "has text that is not valid Unicode, such as half of a surrogate pair"
    except (BSONError, OverflowError, RecursionError, TypeError, ValueError):
        return "has a value that MongoDB cannot store"
    return None if size <= LARGEST else f"has {size:,} bytes, and MongoDB stores up to {LARGEST:,}"


def _decimal(value: Decimal) -> Decimal128 | str:
    try:
        return Decimal128(value)
    except ArithmeticError:
        return str(value)
