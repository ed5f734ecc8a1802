"""Arrow tables of files: some thousand rows at a time, with one type for each column."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from perennial.errors import OutsideError
from perennial.files.json_rows import JSONFile
from perennial.files.parquet_rows import ParquetTable, in_microseconds
from perennial.files.rows import Row, TableFile
from perennial.files.spreadsheet import Spreadsheet

_ROWS = 10_000
_UNFIT = (pa.ArrowException, OverflowError, TypeError, ValueError)


class ArrowTable:
    """The rows of a file as they are, and as Arrow tables.

    Parquet keeps its types and delimited text is text. A column of JSON has the type that all its
    values have; where they have none in common, each is written as JSON.

    Parameters
    ----------
    table : TableFile
        The file.

    Attributes
    ----------
    schema : Schema
        The columns.
    """

    def __init__(self, table: TableFile) -> None:
        self._table, self._count = table, 0
        if isinstance(table, ParquetTable):
            self.schema, self._count = table.schema, table.count
            return
        kinds: dict[str, pa.DataType] = {}
        for rows in _chunks(table.rows(), _ROWS):
            self._count += len(rows)
            if isinstance(table, JSONFile | Spreadsheet):
                _widen(kinds, rows)
        kinds = kinds or dict.fromkeys(table.columns, pa.string())
        self.schema = pa.schema(list(kinds.items()))

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._count

    def batches(self, size: int, first: int = 0) -> Iterator[tuple[list[Row], pa.Table]]:
        """Yield at most so many rows, and the same as an Arrow table.

        Parameters
        ----------
        size : int
            How many.
        first : int
            Of Parquet, the row to begin with, from 0.
        """
        if isinstance(self._table, ParquetTable):
            yield from _of_parquet(self._table, size, first)
            return
        assert first == 0
        for rows in _chunks(self._table.rows(), size):
            columns = [self._column(rows, field) for field in self.schema]
            yield rows, pa.Table.from_arrays(columns, schema=self.schema)

    def _column(self, rows: Sequence[Row], field: pa.Field) -> pa.Array:
        values = [row.values.get(field.name) for row in rows]
        if pa.types.is_string(field.type):
            values = [_as_text(value) for value in values]
        elif pa.types.is_floating(field.type):
            values = [None if value is None else float(value) for value in values]
        try:
            return pa.array(values, field.type)
        except _UNFIT as error:
            raise OutsideError(
                f"The column {field.name!r} of the file {self._table.path} has values of several "
                "types; write all of them as one, such as text."
            ) from error


def _of_parquet(table: ParquetTable, size: int, first: int) -> Iterator[tuple[list[Row], pa.Table]]:
    place = first + 1
    for batch in table.batches(size, first):
        values = in_microseconds(batch).to_pylist()
        yield [Row(place + number, each) for number, each in enumerate(values)], batch
        place += len(batch)


def _chunks(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, size)):
        yield chunk


def _widen(kinds: dict[str, pa.DataType], rows: Sequence[Row]) -> None:
    """Make the types of the columns wide enough for some more rows."""
    for name in dict.fromkeys(name for row in rows for name in row.values):
        found = _kind_of([row.values.get(name) for row in rows])
        kinds[name] = _common(kinds.get(name, pa.null()), found)


def _kind_of(values: Sequence[Any]) -> pa.DataType:
    try:
        kind = pa.array(values).type
    except _UNFIT:
        return pa.string()
    # Parquet has no objects without fields, wherever they stand.
    return pa.string() if "struct<>" in str(kind) else kind


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    schemas = [pa.schema({"": kind}) for kind in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return pa.string()


def _is_bytes(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    )


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def flattened(table: pa.Table, objects: Mapping[str, Sequence[str]]) -> pa.Table:
    """Return a table without nested values, as CSV needs it.

    Parameters
    ----------
    table : Table
        The table.
    objects : mapping of str to sequence of str
        Columns of objects that become a column for each of these fields, ``column.field``; other
        nested values are written as JSON, and bytes in base 64.
    """
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if name in objects:
            values = column.to_pylist()
            for field in objects[name]:
                shares = [None if each is None else each[field] for each in values]
                columns[f"{name}.{field}"] = pa.array(shares, pa.float64())
        elif pa.types.is_nested(column.type):
            columns[name] = pa.array(map(_as_text, column.to_pylist()), pa.string())
        elif _is_bytes(column.type):
            texts = [None if v is None else b64encode(v).decode() for v in column.to_pylist()]
            columns[name] = pa.array(texts, pa.string())
        elif pa.types.is_dictionary(column.type):
            columns[name] = column.cast(column.type.value_type)
        else:
            columns[name] = column
    return pa.table(columns)
