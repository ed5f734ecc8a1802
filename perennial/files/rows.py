"""Rows of files, and sentences about columns that all formats have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

# MongoDB stores no document of more bytes.
LARGEST = 16 * 1024 * 1024
_LISTED = 20
# Characters that are kept of a row that cannot be read.
WRITTEN = 1_000


class Row(NamedTuple):
    """A row of a file.

    Attributes
    ----------
    place : int
        The line where it begins, or its number among the rows, from 1.
    values : dict of str to object
        Column -> value; empty if the row cannot be read.
    wrong : str or None
        Why it cannot be read: a predicate of the row, with the way out.
    written : str
        The beginning of a row that cannot be read.
    """

    place: int
    values: dict[str, Any]
    wrong: str | None = None
    written: str = ""


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
            If nothing more can be read; the message names the place.
        """
        ...


def listed(names: Sequence[str]) -> str:
    """Return names in one line, of many the first ones."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def distinct(names: Sequence[str]) -> list[str]:
    """Return names of columns, of which later ones of the same name get a number: ``size_2``."""
    found: list[str] = []
    for name in names:
        free, number = name, 1
        while free in found or (number > 1 and free in names):
            number += 1
            free = f"{name}_{number}"
        found.append(free)
    return found
