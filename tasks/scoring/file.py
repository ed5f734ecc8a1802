"""Score a file: predictions of the Production model beside its rows.

The result appears in one step when it is complete. Until then parts of it lie in a folder beside
it, so that a run that was ended goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE
from pyarrow import csv, parquet

from perennial.commands import command
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.files.arrow import ArrowTable, flattened
from perennial.files.inputs import TEXT_COLUMN, InputColumns
from perennial.files.parquet_rows import ParquetTable
from perennial.files.rows import Row, TableFile
from perennial.files.table import open_table, require_columns
from perennial.inputs.base import inputs_of
from perennial.inputs.columns import type_at
from perennial.reasons import Reason, UnusableError
from tasks.scoring.batch import (
    Classifier,
    Progressing,
    ScoreResult,
    load_classifier,
    overlapped,
    progressing,
    say,
)

_PART_ROWS = 10_000
_PREFIX = "predicted_"
_PARQUET, _CSV = ".parquet", ".csv"
_FINGERPRINT = b"perennial.scored"


@dataclass(frozen=True)
class _Unclassified:
    """Some rows, also as Arrow has them, and the file that will keep their predictions."""

    file: Path
    rows: list[Row]
    table: pa.Table


@dataclass(frozen=True)
class _Part:
    """Some rows with their predictions, and the file that keeps them."""

    file: Path
    table: pa.Table
    skipped: Counter[Reason]


@dataclass(frozen=True)
class _Source:
    """The file that is read, and where the inputs are in it."""

    table: TableFile
    inputs: InputColumns
    rows: ArrowTable


@task(name="score-file", cache_policy=NO_CACHE)
def score_file(
    problem: Problem,
    file: Path,
    out: Path,
    *,
    text_column: str | None = None,
    encoding: str | None = None,
    again: bool = False,
) -> ScoreResult:
    """Classify the rows of a file into a Parquet or CSV file.

    The result has all columns of the file, and `predicted_label`, `predicted_probabilities` (a
    struct with a field per class; in CSV a column per class, `predicted_probabilities.CLASS`),
    `predicted_version` and `predicted_at`; they are null where an input is missing. When a result
    in Parquet is there already, of the same file and version, nothing is done; CSV cannot say what
    it was made of, and is made anew.

    Parameters
    ----------
    problem : Problem
        Names the model, and the columns with its inputs.
    file, out : Path
        What is read and what is written.
    text_column : str or None
        The column of the text; None takes the name of its field.
    encoding : str or None
        The encoding of the file; None takes UTF-8, or what its byte order mark says.
    again : bool
        Make the result anew.

    Raises
    ------
    OutsideError
        If there is no Production model, if the file cannot be read or lacks the column, or if
        `out` is a file that this task has not written.
    """
    _require_out(file, out)
    classifier = load_classifier(problem)
    source = _open(problem, file, text_column, encoding)
    fingerprint = _fingerprint(problem, classifier, file, (text_column, encoding))
    made_before = _made_of(out)
    start = time.perf_counter()
    if made_before == fingerprint and not again:
        classified, skipped = 0, Counter[Reason]()
    else:
        classified, skipped = _make(problem, classifier, source, out, fingerprint)
    scored = ScoreResult(
        problem.name,
        classifier.version,
        classified,
        skipped,
        time.perf_counter() - start,
        str(out),
    )
    say(scored)
    return scored


def _require_out(file: Path, out: Path) -> None:
    if out.suffix.lower() not in (_PARQUET, _CSV):
        raise OutsideError(f"--out {out} ends neither with .parquet nor with .csv; rename it.")
    if out.exists() and file.exists() and out.samefile(file):
        raise OutsideError(f"--out {out} is the file that is read; name another one.")


def _open(problem: Problem, file: Path, text_column: str | None, encoding: str | None) -> _Source:
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
    return _Source(table, columns, ArrowTable(table))


def _fingerprint(
    problem: Problem, classifier: Classifier, file: Path, read: tuple[str | None, ...]
) -> bytes:
    """Return what a result depends on; a file is the same while its size and time are."""
    state = file.stat()
    facts = (
        problem.name,
        classifier.version,
        str(file.resolve()),
        state.st_size,
        state.st_mtime_ns,
        *filter(None, read),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16].encode()


def _made_of(out: Path) -> bytes | None:
    """Return the fingerprint in a result, None if there is no file or it cannot hold one.

    Raises
    ------
    OutsideError
        If there is another file in its place.
    """
    if not out.exists():
        return None
    if out.suffix.lower() == _CSV:
        if f"{_PREFIX}version" not in open_table(out).columns:
            raise _not_ours(out)
        return None
    try:
        metadata = parquet.read_schema(out).metadata or {}
    except (OSError, pa.ArrowInvalid):
        metadata = {}
    if _FINGERPRINT not in metadata:
        raise _not_ours(out)
    found: bytes = metadata[_FINGERPRINT]
    return found


def _not_ours(out: Path) -> OutsideError:
    return OutsideError(
        f"{out} exists and was not written by `{command('score')}`; name another --out."
    )


def _make(
    problem: Problem,
    classifier: Classifier,
    source: _Source,
    out: Path,
    fingerprint: bytes,
) -> tuple[int, Counter[Reason]]:
    """Make all parts that are missing and put them together; return what this run has done."""
    parts = out.with_name(f".{out.name}.{fingerprint.decode()}.parts")
    parts.mkdir(parents=True, exist_ok=True)
    rows, classified, skipped = len(source.rows), 0, Counter[Reason]()
    with progressing(problem, rows) as progress:
        for part in overlapped(
            _missing(source, parts, progress),
            lambda each: _predict(problem, classifier, source, each),
            _write,
        ):
            classified += len(part.table) - part.skipped.total()
            skipped += part.skipped
            progress.advance(len(part.table))
    _join(_result_schema(source.rows.schema, classifier, fingerprint), classifier, parts, out)
    shutil.rmtree(parts)
    return classified, skipped


def _missing(source: _Source, parts: Path, progress: Progressing) -> Iterator[_Unclassified]:
    for number, (rows, table) in enumerate(source.rows.batches(_PART_ROWS)):
        part = parts / f"{number:08}.parquet"
        if part.exists():
            progress.advance(len(rows))
        else:
            yield _Unclassified(part, rows, table)


def _predict(
    problem: Problem, classifier: Classifier, source: _Source, batch: _Unclassified
) -> _Part:
    inputs, skipped, table = inputs_of(problem), Counter[Reason](), batch.table
    usable: dict[int, Any] = {}
    for index, row in enumerate(batch.rows):
        values = row.values | source.inputs.read(row)
        try:
            usable[index] = inputs.read(values, limited=False)
        except UnusableError as error:
            skipped[error.reason] += 1
    predicted = classifier.classify(list(usable.values()))
    columns: dict[str, list[Any]] = {name: [None] * len(table) for name in _types(classifier)}
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
    kept = table.select(_kept(table.schema))
    for name, kind in _types(classifier).items():
        kept = kept.append_column(_PREFIX + name, pa.array(columns[name], kind))
    return _Part(batch.file, kept, skipped)


def _types(classifier: Classifier) -> dict[str, pa.DataType]:
    return {
        "label": pa.string(),
        "probabilities": pa.struct([(name, pa.float64()) for name in classifier.classes]),
        "version": pa.int64(),
        "at": pa.timestamp("us", "UTC"),
    }


def _kept(schema: pa.Schema) -> list[str]:
    """Return the columns that stay: not the predictions of an earlier result."""
    return [name for name in schema.names if not name.startswith(_PREFIX)]


def _result_schema(schema: pa.Schema, classifier: Classifier, fingerprint: bytes) -> pa.Schema:
    fields = [schema.field(name) for name in _kept(schema)]
    added = [pa.field(_PREFIX + name, kind) for name, kind in _types(classifier).items()]
    return pa.schema([*fields, *added], {**(schema.metadata or {}), _FINGERPRINT: fingerprint})


def _write(part: _Part) -> None:
    unfinished = part.file.with_suffix(".unfinished")
    parquet.write_table(part.table, unfinished)
    unfinished.replace(part.file)


def _join(schema: pa.Schema, classifier: Classifier, parts: Path, out: Path) -> None:
    unfinished = parts / "result.unfinished"
    tables = (parquet.read_table(part).cast(schema) for part in sorted(parts.glob("*.parquet")))
    if out.suffix.lower() == _CSV:
        _write_csv(schema, classifier, tables, unfinished)
    else:
        with parquet.ParquetWriter(unfinished, schema) as writer:
            for table in tables:
                writer.write_table(table)
    unfinished.replace(out)


def _write_csv(
    schema: pa.Schema, classifier: Classifier, tables: Iterator[pa.Table], file: Path
) -> None:
    objects = {f"{_PREFIX}probabilities": classifier.classes}
    header = flattened(schema.empty_table(), objects).schema
    with csv.CSVWriter(file, header) as writer:
        for table in tables:
            writer.write_table(flattened(table, objects))
