"""Delimited text: CSV and its relatives, whose values are texts as they are written."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from io import StringIO
from pathlib import Path

from perennial.errors import OutsideError
from perennial.files.encodings import BROKEN
from perennial.files.opening import encoding_of, open_text
from perennial.files.rows import LARGEST, WRITTEN, Row, distinct, listed

ENDINGS = (".csv", ".tsv", ".tab", ".txt")
_DELIMITERS = (",", ";", "\t", "|")
_TABBED = (".tsv", ".tab")
_HEADER = 1_000_000
_UNREADABLE = (
    f"has quotation marks that do not match, or a value of more than {LARGEST:,} characters; write "
    "a quotation mark within quotes twice"
)
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
        As of `perennial.files.opening.encoding_of`.

    Attributes
    ----------
    unit : str
        What the place of a row counts.
    columns : tuple of str
        The names of the header; a column without one is called by its place, and of several
        columns of one name the later ones get a number.
    encoding : str
        The encoding that was named or found.

    Raises
    ------
    OutsideError
        If the file cannot be read, or has no header.
    """

    unit = "line"

    def __init__(
        self, path: Path, wanted: Collection[str], ending: str, encoding: str | None
    ) -> None:
        self.path, self.encoding = path, encoding_of(path, encoding)
        with open_text(path, self.encoding) as stream:
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
        self.columns = tuple(distinct(names))

    def rows(self) -> Iterator[Row]:
        """Yield the rows; lines that are empty are none.

        A row that cannot be read says why, and the next line begins another one.
        """
        csv.field_size_limit(LARGEST)
        with open_text(self.path, self.encoding) as stream:
            for _ in range(self._skipped):
                stream.readline()
            lines = _Lines(stream, 1 + self._skipped)
            is_header = True
            for line, values in self._read(lines):
                if isinstance(values, str):
                    yield Row(line, {}, _UNREADABLE, values[:WRITTEN])
                elif values and not is_header:
                    yield self._row(line, values)
                is_header = is_header and not values

    def _read(self, lines: _Lines) -> Iterator[tuple[int, list[str] | str]]:
        """Yield line and values of each row; its first line, if it cannot be read."""
        while True:
            reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
            try:
                for values in reader:
                    yield lines.begin(), values
            except csv.Error:
                yield lines.set_aside()
            else:
                return

    def _row(self, line: int, values: Sequence[str]) -> Row:
        if len(values) != len(self.columns):
            wrong = (
                f"has {len(values):,} values, and the header {len(self.columns):,} columns, "
                f"{listed(self.columns)}; put a value that holds {self._delimiter!r} in quotes"
            )
        elif any(BROKEN.search(value) for value in values if not value.isascii()):
            wrong = f"is not {self.encoding}; save the file as UTF-8"
        else:
            return Row(line, dict(zip(self.columns, values, strict=True)))
        return Row(line, {}, wrong, self._delimiter.join(values)[:WRITTEN])


class _Lines:
    """Lines of a file, of which those of the last row can be read again."""

    def __init__(self, stream: Iterator[str], first: int) -> None:
        self._stream, self._number = stream, first
        self._held: list[str] = []
        self._again: deque[str] = deque()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._stream)
        self._held.append(line)
        return line

    def begin(self) -> int:
        """Return the line where the last row began, and hold it no longer."""
        first = self._number
        self._number += len(self._held)
        self._held.clear()
        return first

    def set_aside(self) -> tuple[int, str]:
        """Return the first line of the last row; the others are read again."""
        line, *others = self._held
        self._again.extendleft(reversed(others))
        self._held = [line]
        return self.begin(), line


def _header(start: str, delimiter: str) -> list[str]:
    """Return the names of the first row that is not empty."""
    csv.field_size_limit(LARGEST)
    rows = csv.reader(StringIO(start, newline=""), delimiter=delimiter)
    found = next((row for row in rows if row), [])
    return [name.strip() or f"column_{place}" for place, name in enumerate(found, start=1)]


def _worth(names: Sequence[str], wanted: Collection[str]) -> tuple[int, int]:
    return sum(name in wanted for name in names), len(names)
