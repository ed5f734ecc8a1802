"""Parquet: rows with types of their own, read some thousand at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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

    def batches(self, size: int) -> Iterator[pa.Table]:
        """Yield tables of at most so many rows."""
        with self._opened() as file:
            for batch in file.iter_batches(size):
                yield pa.Table.from_batches([batch]).rename_columns(list(self.columns))

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
