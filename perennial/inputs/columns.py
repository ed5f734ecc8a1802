"""Columns of files by the paths of fields: a column of that name, or a part of a struct."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def column_of(schema: pa.Schema, path: str) -> str | None:
    """Return the column in which the values of a path are; None if there is none."""
    if path in schema.names:
        return path
    first = path.partition(".")[0]
    return first if first in schema.names and type_at(schema, path) is not None else None


def type_at(schema: pa.Schema, path: str) -> pa.DataType | None:
    """Return the type of the values of a path; None if there is no such column."""
    names = [path] if path in schema.names else path.split(".")
    found = schema.field(names[0]).type if names[0] in schema.names else None
    for name in names[1:]:
        if found is None or not pa.types.is_struct(found) or found.get_field_index(name) < 0:
            return None
        found = found.field(name).type
    return found


def values_at(table: pa.Table, path: str) -> pa.ChunkedArray:
    """Return the values of a path, null where an object on the way is.

    Raises
    ------
    KeyError
        If there is no such column.
    """
    column = column_of(table.schema, path)
    if column is None:
        raise KeyError(path)
    if column == path:
        return table[path]
    return pc.struct_field(table[column], path.split(".")[1:])
