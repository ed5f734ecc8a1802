"""Parts of a file: some of its rows with their predictions, made here or by a worker of the engine.

A part appears in one step, as a file of its own, whoever makes it and however often.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
from pyarrow import parquet

from perennial.config.problem import Problem
from perennial.engine.workers import for_workers
from perennial.errors import OutsideError
from perennial.files.arrow import ArrowTable
from perennial.files.inputs import TEXT_COLUMN, InputColumns
from perennial.files.parquet_rows import ParquetTable
from perennial.files.rows import Row, TableFile
from perennial.files.table import open_table, require_columns
from perennial.inputs.base import inputs_of
from perennial.inputs.columns import type_at
from perennial.reasons import Reason, UnusableError
from tasks.scoring.classifier import Classifier, Fetched

PREFIX = "predicted_"
_PROBLEM, _READ, _MODEL, _GOLDEN = "problem.json", "read.json", "model.skops", "golden.json"


@dataclass(frozen=True)
class Unclassified:
    """Some rows, also as Arrow has them, and the file that will keep their predictions."""

    file: Path
    rows: list[Row]
    table: pa.Table


@dataclass(frozen=True)
class Part:
    """Some rows with their predictions, and the file that keeps them."""

    file: Path
    table: pa.Table
    skipped: Counter[Reason]


@dataclass(frozen=True)
class Source:
    """The file that is read, and where the inputs are in it."""

    table: TableFile
    inputs: InputColumns
    rows: ArrowTable


def open_source(
    problem: Problem, file: Path, text_column: str | None, encoding: str | None
) -> Source:
    """Return a file, after its columns were looked at.

    Raises
    ------
    OutsideError
        If it cannot be read, or lacks an input.
    """
    columns = InputColumns(problem, text_column)
    table = open_table(file, [*columns.names, TEXT_COLUMN], encoding=encoding)
    columns.locate(table, TEXT_COLUMN)
    place = "source.fields.text" if inputs_of(problem).fields is None else "inputs"
    said = f"The name stands at {place} in problems/{problem.name}.yaml."
    require_columns(table, columns.names, said if text_column is None else "")
    if isinstance(table, ParquetTable) and inputs_of(problem).fields is None:
        (name,) = columns.names
        kind = type_at(table.schema, name)
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise OutsideError(f"The column {name!r} of {file} is {kind}, not string.")
    return Source(table, columns, ArrowTable(table))


def predict(problem: Problem, classifier: Classifier, source: Source, batch: Unclassified) -> Part:
    """Return rows with their predictions."""
    inputs, skipped, table = inputs_of(problem), Counter[Reason](), batch.table
    usable: dict[int, Any] = {}
    for index, row in enumerate(batch.rows):
        values = row.values | source.inputs.read(row)
        try:
            usable[index] = inputs.read(values, limited=False)
        except UnusableError as error:
            skipped[error.reason] += 1
    predicted = classifier.classify(list(usable.values()))
    columns: dict[str, list[Any]] = {name: [None] * len(table) for name in types_of(classifier)}
    at = datetime.now(UTC)
    skipped.update(predicted.refused.values())
    answers = zip(usable, predicted.labels, predicted.probabilities, strict=True)
    for place, (index, label, shares) in enumerate(answers):
        if place in predicted.refused:
            continue
        columns["label"][index] = label
        columns["probabilities"][index] = dict(zip(classifier.classes, shares, strict=True))
        columns["version"][index] = classifier.version
        columns["at"][index] = at
    found = table.select(kept(table.schema))
    for name, kind in types_of(classifier).items():
        found = found.append_column(PREFIX + name, pa.array(columns[name], kind))
    return Part(batch.file, found, skipped)


def types_of(classifier: Classifier) -> dict[str, pa.DataType]:
    """Return the types of the columns of predictions, by their names without `PREFIX`."""
    return {
        "label": pa.string(),
        "probabilities": pa.struct([(name, pa.float64()) for name in classifier.classes]),
        "version": pa.int64(),
        "at": pa.timestamp("us", "UTC"),
    }


def kept(schema: pa.Schema) -> list[str]:
    """Return the columns that stay: not the predictions of an earlier result."""
    return [name for name in schema.names if not name.startswith(PREFIX)]


def write_part(part: Part) -> None:
    """Write a part in one step."""
    # A worker that was given up for dead may be writing the same part.
    unfinished = part.file.with_suffix(f".{uuid4().hex}.unfinished")
    parquet.write_table(part.table, unfinished)
    unfinished.replace(part.file)


@dataclass(frozen=True)
class Classified:
    """Parts that are made.

    Attributes
    ----------
    rows : int
        How many rows they have.
    skipped : Counter of Reason
        Why some of them have no prediction.
    """

    rows: int
    skipped: Counter[Reason]


@dataclass(frozen=True)
class Rows:
    """Rows of a Parquet file that a worker classifies.

    Attributes
    ----------
    folder : Path
        Where `lay_out` has written what they are classified by, and where their parts go.
    sha256 : str
        Hexadecimal digest of the model's file.
    numbers : tuple of int
        Which parts of the file they are, in order.
    size : int
        Rows of a part; the last one of the file may have fewer.
    """

    folder: Path
    sha256: str
    numbers: tuple[int, ...]
    size: int


def part_file(folder: Path, number: int) -> Path:
    """Return where a part is kept."""
    return folder / f"{number:08}.parquet"


def lay_out(
    folder: Path, problem: Problem, fetched: Fetched, file: Path, read: tuple[str | None, ...]
) -> str:
    """Write what workers need to know to classify rows of a file; return the model's digest.

    Parameters
    ----------
    folder : Path
        On storage that they share.
    problem : Problem
        Names the columns with its inputs.
    fetched : Fetched
        The version.
    file : Path
        The file with the rows.
    read : tuple of str or None
        How it is read: the column of the text, and the encoding.
    """
    facts = [fetched.problem, fetched.version, fetched.sha256, str(file.absolute()), *read]
    (folder / _PROBLEM).write_text(problem.model_dump_json(), encoding="utf-8")
    (folder / _READ).write_text(json.dumps(facts), encoding="utf-8")
    (folder / _MODEL).write_bytes(fetched.file.content)
    (folder / _GOLDEN).write_text(fetched.file.golden.model_dump_json(), encoding="utf-8")
    return fetched.file.sha256


@for_workers
def classify_rows(rows: Rows) -> Classified:
    """Classify rows and write their parts, all of them: a worker that has ended reported none."""
    problem, classifier, source = _laid_out(rows.folder, rows.sha256)
    found, count, skipped = iter(rows.numbers), 0, Counter[Reason]()
    wanted, begin = next(found), rows.numbers[0]
    batches = source.rows.batches(rows.size, begin * rows.size)
    for number, (each, table) in enumerate(batches, start=begin):
        if number != wanted:
            continue
        file = part_file(rows.folder, number)
        part = predict(problem, classifier, source, Unclassified(file, each, table))
        write_part(part)
        count, skipped = count + len(each), skipped + part.skipped
        if (wanted := next(found, -1)) < 0:
            break
    return Classified(count, skipped)


# A worker makes many parts of one file, one after the other; another file takes its place.
@lru_cache(maxsize=1)
def _laid_out(folder: Path, digest: str) -> tuple[Problem, Classifier, Source]:
    del digest
    from perennial.registry.artifact import ModelFile, read_golden

    problem = Problem.model_validate_json((folder / _PROBLEM).read_bytes())
    facts = json.loads((folder / _READ).read_bytes())
    name, version, sha256, file, text_column, encoding = facts
    golden = read_golden(folder / _GOLDEN, f"Version {version} of {name!r}")
    model = ModelFile((folder / _MODEL).read_bytes(), golden)
    classifier = Fetched(name, version, sha256, model).opened()
    return problem, classifier, open_source(problem, Path(file), text_column, encoding)
