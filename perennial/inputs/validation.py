"""Values of documents: which are missing, and which cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class UnusableError(Exception):
    """A document that goes to quarantine; the message is the reason."""


def require(document: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return the value of a field.

    Raises
    ------
    UnusableError
        If it is missing, null or of another type.
    """
    value = document.get(name)
    if value is None:
        raise UnusableError(f"{name} is missing" if name not in document else f"{name} is null")
    if not isinstance(value, kind):
        raise UnusableError(f"{name} is {type(value).__name__}, not {kind.__name__}")
    return value


def require_utf8(name: str, text: str) -> None:
    """Raise `UnusableError` unless a text can be written as UTF-8."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UnusableError(f"{name} is not valid UTF-8") from None
