"""Delimited text: CSV and its relatives, whose values are texts as they are written."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from io import StringIO
from pathlib import Path

from perennial.errors import OutsideError
from perennial.files.opening import open_text
from perennial.files.rows import LARGEST, Row, listed, require_distinct

ENDINGS = (".csv", ".tsv", ".tab", ".txt")
_DELIMITERS = (",", ";", "\t", "|")
_TABBED = (".tsv", ".tab")
_HEADER = 1_000_000
# How a spreadsheet says which delimiter it has written.
_SAID = re.compile(r"sep=(.)\r?\n")


class DelimitedFile:
    """A table of delimited text, whose first row is the header.

    Parameters
    ----------
    path : Path
        The file.
    wanted : collection of str
        Columns that the caller looks for: the delimiter is the one by which the header has most of
        them, and the most columns.
    ending : str
        The ending that says the format.
    encoding : str or None
        As of `perennial.files.opening.open_text`.

    Attributes
    ----------
    unit : str
        What the place of a row counts.
    columns : tuple of str
        The names of the header; a column without one is called by its place.

    Raises
    ------
    OutsideError
        If the file cannot be read, or has no header or two columns of one name.
    """

    unit = "line"

    def __init__(
        self, path: Path, wanted: Collection[str], ending: str, encoding: str | None
    ) -> None:
        self.path, self._encoding = path, encoding
        with open_text(path, encoding) as stream:
            start = stream.read(_HEADER)
        said = _SAID.match(start)
        self._skipped = 0 if said is None else 1
        body = start if said is None else start[said.end() :]
        first = "\t" if ending in _TABBED else ","
        tried = (said[1],) if said else dict.fromkeys((first, *_DELIMITERS))
        headers = {each: _header(body, each) for each in tried}
        self._delimiter = max(headers, key=lambda each: _worth(headers[each], wanted))
        names = headers[self._delimiter]
        if not names:
            raise OutsideError(f"The file {path} has no header: its lines are empty.")
        require_distinct(path, names)
        self.columns = tuple(names)

    def rows(self) -> Iterator[Row]:
        """Yield the rows; lines that are empty are none.

        Raises
        ------
        OutsideError
            If a row has more or fewer values than the header, or quotes that do not match.
        """
        csv.field_size_limit(LARGEST)
        with open_text(self.path, self._encoding) as stream:
            for _ in range(self._skipped):
                stream.readline()
            reader = csv.reader(stream, delimiter=self._delimiter, strict=True)
            line, is_header = 1 + self._skipped, True
            try:
                for values in reader:
                    if values and not is_header:
                        yield Row(line, self._named(line, values))
                    is_header = is_header and not values
                    line = reader.line_num + 1 + self._skipped
            except csv.Error as error:
                raise OutsideError(self._unreadable(line)) from error

    def _named(self, line: int, values: Sequence[str]) -> dict[str, str]:
        if len(values) != len(self.columns):
            raise OutsideError(
                f"Line {line:,} of the file {self.path} has {len(values):,} values, and the header "
                f"{len(self.columns):,} columns, {listed(self.columns)}; put a value that holds "
                f"{self._delimiter!r} in quotes."
            )
        return dict(zip(self.columns, values, strict=True))

    def _unreadable(self, line: int) -> str:
        return (
            f"The row at line {line:,} of the file {self.path} has quotation marks that do not "
            f"match, or a value of more than {LARGEST:,} characters; write a quotation mark within "
            "quotes twice."
        )


def _header(start: str, delimiter: str) -> list[str]:
    """Return the names of the first row that is not empty."""
    csv.field_size_limit(LARGEST)
    rows = csv.reader(StringIO(start, newline=""), delimiter=delimiter)
    found = next((row for row in rows if row), [])
    return [name.strip() or f"column_{place}" for place, name in enumerate(found, start=1)]


def _worth(names: Sequence[str], wanted: Collection[str]) -> tuple[int, int]:
    return sum(name in wanted for name in names), len(names)
