"""Readings: a value of a file as one kind reads it, and as another does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from perennial import paths
from perennial.fields import KINDS
from perennial.fields.base import is_missing

# Longer ones are texts, which seldom repeat.
_SHORT = 40


def is_other_reading(stored: Any, given: Any) -> bool:
    """Return whether two different values are what one value of a file is to different kinds.

    ``"1"``, 1 and True are readings of each other, and so are ``"Yes"`` and True: a problem's file
    decides which of them a document gets. A field that a document lacks has no other reading.
    """
    if stored is paths.MISSING or type(stored) is type(given):
        return False
    return any(_equal(one, given) for one in _readings(stored)) or any(
        _equal(stored, other) for other in _readings(given)
    )


def as_text(value: Any) -> Any:
    """Return bytes as the text that they are, as some write it to Parquet; else the value."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def common_reading(value: Any) -> Any:
    """Return what a value is in every format: a number, 1 or 0 for what may be a truth, or a text.

    Different values may have one, such as ``01`` and ``1``. None says that there is no value.
    """
    value = as_text(value)
    # The values of a column repeat, and to read one takes two kinds.
    return _of_text(value) if type(value) is str and len(value) <= _SHORT else _common(value)


@lru_cache(maxsize=2**14)
def _of_text(text: str) -> Any:
    return _common(text)


def _common(value: Any) -> Any:
    if value is paths.MISSING or is_missing(value):
        return None
    for kind in ("number", "boolean"):
        try:
            value = KINDS[kind].from_file(value)
        except ValueError:
            continue
        if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
            return int(value)
    return value


def _readings(value: Any) -> Iterator[Any]:
    yield str(value)
    for kind in KINDS.values():
        try:
            yield kind.from_file(value)
        except ValueError:
            # It may mean two things to this kind, and so means none.
            continue


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
