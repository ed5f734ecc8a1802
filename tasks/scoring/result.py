"""The result of a file that is scored: its parts, joined in order as soon as they are there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from pyarrow import csv, parquet

from perennial.files.arrow import flattened
from tasks.scoring.parts import PREFIX, part_file

CSV = ".csv"


class Writer(Protocol):
    """What writes one table after the other."""

    def write_table(self, table: pa.Table) -> None:
        """Write a table."""


class Joining:
    """Parts that become one file.

    Parameters
    ----------
    writer : Writer
        Of the file.
    schema : Schema
        Of the result.
    parts : Path
        Where the parts are.
    """

    def __init__(self, writer: Writer, schema: pa.Schema, parts: Path) -> None:
        self._writer, self._schema, self._parts, self._next = writer, schema, parts, 0

    def join_ready(self) -> None:
        """Write the parts that are there and before which none is missing."""
        while (part := part_file(self._parts, self._next)).exists():
            self._writer.write_table(parquet.read_table(part).cast(self._schema))
            self._next += 1


@contextmanager
def joining(
    schema: pa.Schema, classes: tuple[str, ...], parts: Path, out: Path
) -> Iterator[Joining]:
    """Yield what joins parts; the file is there in one step when the block has ended.

    Parameters
    ----------
    schema : Schema
        Of the result.
    classes : tuple of str
        Those of the model, each of which is a column in CSV.
    parts : Path
        The folder of the parts, in which the file grows.
    out : Path
        The file, in Parquet or CSV by its name.
    """
    unfinished = parts / "result.unfinished"
    with _writer(schema, classes, unfinished, is_csv=out.suffix.lower() == CSV) as writer:
        joined = Joining(writer, schema, parts)
        yield joined
        joined.join_ready()
    unfinished.replace(out)


@contextmanager
def _writer(
    schema: pa.Schema, classes: tuple[str, ...], file: Path, *, is_csv: bool
) -> Iterator[Writer]:
    if not is_csv:
        with parquet.ParquetWriter(file, schema) as writer:
            yield writer
        return
    objects = {f"{PREFIX}probabilities": classes}
    with csv.CSVWriter(file, flattened(schema.empty_table(), objects).schema) as writer:
        yield _Flattening(writer, objects)


class _Flattening:
    """Writes tables with a column for each class."""

    def __init__(self, writer: csv.CSVWriter, objects: dict[str, tuple[str, ...]]) -> None:
        self._writer, self._objects = writer, objects

    def write_table(self, table: pa.Table) -> None:
        """See `Writer`."""
        self._writer.write_table(flattened(table, self._objects))
