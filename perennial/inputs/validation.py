"""Values of documents: which are missing, and which cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from perennial import paths
from perennial.fields.base import describe, is_text
from perennial.reasons import ReasonCode, UnusableError

__all__ = ["UnusableError", "require", "require_date", "require_text", "require_utf8"]


def require(document: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path.

    Raises
    ------
    UnusableError
        If it is missing or null.
    """
    value = paths.read(document, path)
    if value is None:
        raise UnusableError(ReasonCode.NULL, path)
    if value is paths.MISSING:
        if paths.leads_into_list(document, path):
            raise UnusableError(ReasonCode.IN_LIST, path)
        raise UnusableError(ReasonCode.MISSING, path)
    return value


def require_text(document: Mapping[str, Any], path: str) -> str:
    """Return the text at a path.

    Raises
    ------
    UnusableError
        If it is missing, null or of another type.
    """
    value = require(document, path)
    if not is_text(value):
        raise _wrong_type(path, value, "a text")
    text: str = value
    return text


def require_date(document: Mapping[str, Any], path: str) -> datetime:
    """Return the date at a path.

    Raises
    ------
    UnusableError
        If it is missing, null, of another type or beyond Python's calendar.
    """
    value = require(document, path)
    if isinstance(value, datetime):
        return value
    if type(value).__name__ == "DatetimeMS":
        why = "is beyond the years 1 to 9999"
        raise UnusableError(ReasonCode.OUT_OF_RANGE, path, why, value=value)
    raise _wrong_type(path, value, "a date")


def require_utf8(path: str, text: str) -> None:
    """Raise `UnusableError` unless a text can be written as UTF-8."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UnusableError(ReasonCode.NOT_UTF8, path, value=text) from None


def _wrong_type(path: str, value: object, wanted: str) -> UnusableError:
    why = f"is {describe(value)}, not {wanted}"
    return UnusableError(ReasonCode.WRONG_TYPE, path, why, value=value)
