"""Parquet: rows with types of their own, read some thousand at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from perennial.errors import OutsideError
from perennial.files.opening import open_bytes
from perennial.files.rows import Row, distinct

ENDINGS = (".parquet",)
_ROWS = 1_000


class ParquetTable:
    """A Parquet file.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    unit : str
        What the place of a row counts.
    schema : Schema
        The columns with their types.
    count : int
        How many rows it has.
    columns : tuple of str
        The names of the columns, of which each is there once.

    Raises
    ------
    OutsideError
        If it is no Parquet file.
    """

    unit = "row"

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            found = file.schema_arrow
            self.count: int = file.metadata.num_rows
        self.columns = tuple(distinct(found.names))
        fields = [field.with_name(name) for name, field in zip(self.columns, found, strict=True)]
        self.schema = pa.schema(fields, found.metadata)

    @contextmanager
    def _opened(self) -> Iterator[parquet.ParquetFile]:
        with open_bytes(self.path) as stream:
            try:
                yield parquet.ParquetFile(stream)
            except (pa.ArrowException, OSError) as error:
                raise OutsideError(
                    f"The file {self.path} is no Parquet file, or is damaged; write it again, or "
                    "name it by its format."
                ) from error

    def batches(self, size: int, first: int = 0) -> Iterator[pa.Table]:
        """Yield tables of so many rows, the last one of fewer.

        Parameters
        ----------
        size : int
            How many.
        first : int
            The row to begin with, from 0; the groups of rows that are before it are not read.
        """
        with self._opened() as file:
            groups = range(file.num_row_groups)
            ends = [0, *accumulate(file.metadata.row_group(group).num_rows for group in groups)]
            begin = bisect_right(ends, first) - 1
            before = first - ends[begin]
            held = self.schema.empty_table()
            for batch in file.iter_batches(size, row_groups=groups[begin:]):
                table = pa.Table.from_batches([batch]).rename_columns(list(self.columns))
                table, before = table.slice(before), max(before - len(table), 0)
                held = pa.concat_tables([held, table]) if len(held) else table
                while len(held) >= size:
                    yield held.slice(0, size)
                    held = held.slice(size)
            if len(held):
                yield held

    def rows(self) -> Iterator[Row]:
        """Yield the rows."""
        place = 0
        for batch in self.batches(_ROWS):
            for values in in_microseconds(batch).to_pylist():
                place += 1
                yield Row(place, values)


def in_microseconds(table: pa.Table) -> pa.Table:
    """Return a table whose times Python can hold: finer parts than microseconds are cut."""
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            kind = pa.timestamp("us", field.type.tz)
            table = table.set_column(place, field.name, table[place].cast(kind, safe=False))
    return table
