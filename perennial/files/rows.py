"""Rows of files, and sentences about columns that all formats have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from perennial.errors import OutsideError

# MongoDB stores no document of more bytes.
LARGEST = 16 * 1024 * 1024
_LISTED = 20


class Row(NamedTuple):
    """A row of a file.

    Attributes
    ----------
    place : int
        The line where it begins, or its number among the rows, from 1.
    values : dict of str to object
        Column -> value.
    """

    place: int
    values: dict[str, Any]


class TableFile(Protocol):
    """A file with rows, which can be read several times and is never held as a whole.

    Attributes
    ----------
    path : Path
        The file.
    unit : str
        What the place of a row counts: "line" or "row".
    """

    path: Path
    unit: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        ...

    def rows(self) -> Iterator[Row]:
        """Yield the rows.

        Raises
        ------
        OutsideError
            If one cannot be read; the message names it.
        """
        ...


def listed(names: Sequence[str]) -> str:
    """Return names in one line, of many the first ones."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def require_distinct(path: Path, names: Sequence[str]) -> None:
    """Raise `OutsideError` if two columns have one name."""
    places: dict[str, int] = {}
    for place, name in enumerate(names, start=1):
        if name in places:
            raise OutsideError(
                f"The file {path} has two columns named {name!r}, column {places[name]:,} and "
                f"column {place:,}; rename or remove one."
            )
        places[name] = place
