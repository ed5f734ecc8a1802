"""Tables of files: the format by the ending of the name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from perennial import paths
from perennial.errors import OutsideError
from perennial.files import delimited, json_rows, parquet_rows, spreadsheet
from perennial.files.delimited import DelimitedFile
from perennial.files.json_rows import JSONFile
from perennial.files.opening import ending_of
from perennial.files.parquet_rows import ParquetTable
from perennial.files.rows import TableFile, listed
from perennial.files.spreadsheet import Spreadsheet
from perennial.files.storable import field_name

ENDINGS = (
    *delimited.ENDINGS,
    *json_rows.ENDINGS,
    *parquet_rows.ENDINGS,
    *spreadsheet.ENDINGS,
)


def open_table(
    path: Path, wanted: Collection[str] = (), *, encoding: str | None = None
) -> TableFile:
    """Return the table that a file holds.

    Parameters
    ----------
    path : Path
        Its ending says the format, before one of .gz, .bz2 or .xz.
    wanted : collection of str
        Columns that the caller looks for.
    encoding : str or None
        The encoding of text; None finds it.

    Raises
    ------
    OutsideError
        If it cannot be read; the message names the file.
    """
    ending = ending_of(path)
    if ending in delimited.ENDINGS:
        return DelimitedFile(path, wanted, ending, encoding)
    if ending in json_rows.ENDINGS:
        return JSONFile(path, encoding)
    if ending in parquet_rows.ENDINGS:
        return ParquetTable(path)
    if ending in spreadsheet.ENDINGS:
        return Spreadsheet(path)
    known = ", ".join(ENDINGS)
    raise OutsideError(
        f"The file {path} has the ending {ending!r}, which is none of {known}; rename it by its "
        "format."
    )


def require_columns(table: TableFile, wanted: Collection[str], remedy: str = "") -> None:
    """Check that a table has columns, or objects where a path leads into them.

    Parameters
    ----------
    table : TableFile
        The table.
    wanted : collection of str
        Columns, by name or path.
    remedy : str
        A sentence that says where the names come from.

    Raises
    ------
    OutsideError
        If one is missing; the message lists those that there are.
    """
    for name in wanted:
        if not has_column(table, name):
            message = (
                f"The file {table.path} has no column {name!r}; it has {listed(table.columns)}."
            )
            raise OutsideError(f"{message} {remedy}".strip())


def column_of(table: TableFile, field: str, otherwise: str | None = None) -> str:
    """Return the column of a file in which a field is: by its name, or by what it is stored as.

    Parameters
    ----------
    table : TableFile
        The table.
    field : str
        The path of the field in documents.
    otherwise : str or None
        The column if there is none of this name and the table has this one.
    """
    if has_column(table, field):
        return field
    stored = next((name for name in table.columns if field_name(name) == field), None)
    if stored is not None:
        return stored
    return otherwise if otherwise is not None and has_column(table, otherwise) else field


def has_column(table: TableFile, path: str) -> bool:
    """Return whether a table has a column, or objects in one where the path leads into them."""
    if path in table.columns:
        return True
    if path.partition(".")[0] not in table.columns:
        return False
    return any(paths.read(row.values, path) is not paths.MISSING for row in table.rows())
