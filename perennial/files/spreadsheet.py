"""Spreadsheets: the first sheet with a header, whose cells have types of their own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

from perennial.errors import OutsideError
from perennial.files.opening import open_bytes
from perennial.files.rows import Row, distinct

ENDINGS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
# Larger whole numbers are not exact as a spreadsheet keeps them.
_EXACT = 2**53


class Spreadsheet:
    """A spreadsheet, of which the first sheet that is not empty is read.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    unit : str
        What the place of a row counts.
    columns : tuple of str
        The values of the first row that is not empty; a column without one is called by its place.

    Raises
    ------
    OutsideError
        If it is no spreadsheet, or has no rows.
    """

    unit = "row"

    def __init__(self, path: Path) -> None:
        self.path = path
        header = next((values for _, values in self._filled()), None)
        if header is None:
            raise OutsideError(f"The file {path} has no sheet with rows.")
        names = [str(name).strip() for name in header]
        while names and not names[-1]:
            names.pop()
        self.columns = tuple(
            distinct([name or f"column_{place}" for place, name in enumerate(names, start=1)])
        )

    def rows(self) -> Iterator[Row]:
        """Yield the rows; those without a value are none."""
        rows = self._filled()
        next(rows, None)
        for place, values in rows:
            further = [value for value in values[len(self.columns) :] if value != ""]
            if further:
                wrong = (
                    f"has a value beside the {len(self.columns):,} columns of the header, "
                    f"{further[0]!r}; give its column a name"
                )
                yield Row(place, {}, wrong, str(values))
                continue
            padded = [*values, *[""] * (len(self.columns) - len(values))]
            cells = dict(zip(self.columns, map(_plain, padded), strict=False))
            yield Row(place, cells)

    def _filled(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield number and values of each row that is not empty, of the first sheet with some."""
        # Not needed for any other file.
        from python_calamine import CalamineError, CalamineWorkbook

        with open_bytes(self.path) as stream:
            try:
                book = CalamineWorkbook.from_filelike(stream)
                for name in book.sheet_names:
                    sheet = book.get_sheet_by_name(name)
                    first = (sheet.start or (0, 0))[0] + 1
                    is_empty = True
                    for place, values in zip(count(first), sheet.to_python(), strict=False):
                        if any(value != "" for value in values):
                            is_empty = False
                            yield place, values
                    if not is_empty:
                        return
            except (CalamineError, OSError) as error:
                raise OutsideError(
                    f"The file {self.path} is no spreadsheet, is damaged or has a password: "
                    f"{error}; save it again, or as CSV."
                ) from error


def _plain(value: Any) -> Any:
    """Return the value of a cell: none for an empty one, whole numbers as such."""
    if value == "":
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value if isinstance(value, str | bool | int | float | date) else str(value)
