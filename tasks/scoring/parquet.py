"""Score a file: predictions of the Production model beside the rows of a Parquet file.

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
from pyarrow import parquet

from perennial.commands import command
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.inputs.base import inputs_of
from perennial.inputs.columns import column_of, type_at
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
_FINGERPRINT = b"perennial.scored"


@dataclass(frozen=True)
class _Part:
    """Some rows with their predictions, and the file that keeps them."""

    file: Path
    table: pa.Table
    skipped: Counter[Reason]


@task(name="score-file", cache_policy=NO_CACHE)
def score_file(problem: Problem, file: Path, out: Path, *, again: bool = False) -> ScoreResult:
    """Classify the rows of a Parquet file into another one.

    The result has all columns of the file, and `predicted_label`, `predicted_probabilities` (a
    struct with a field per class), `predicted_version` and `predicted_at`; they are null where an
    input is missing. When the result is there already, of the same file and version, nothing is
    done.

    Parameters
    ----------
    problem : Problem
        Names the model, and the columns with its inputs.
    file, out : Path
        What is read and what is written.
    again : bool
        Make the result anew.

    Raises
    ------
    OutsideError
        If there is no Production model, if the file cannot be read or lacks the column, or if
        `out` is a file that this task has not written.
    """
    classifier = load_classifier(problem)
    source = _open(problem, file)
    fingerprint = _fingerprint(problem, classifier, file)
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


def _open(problem: Problem, file: Path) -> parquet.ParquetFile:
    try:
        source = parquet.ParquetFile(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise OutsideError(f"The file {file} cannot be read as Parquet: {error}") from error
    schema, inputs = source.schema_arrow, inputs_of(problem)
    place = "source.fields.text" if inputs.fields is None else "inputs"
    for name in inputs.names:
        column = column_of(schema, name)
        if column is None:
            raise OutsideError(
                f"The file {file} has no column {name!r}; it has {', '.join(schema.names)}. The "
                f"name stands at {place} in problems/{problem.name}.yaml."
            )
        kind = type_at(schema, name)
        if inputs.fields is None and not (
            pa.types.is_string(kind) or pa.types.is_large_string(kind)
        ):
            raise OutsideError(f"The column {name!r} of {file} is {kind}, not string.")
    return source


def _fingerprint(problem: Problem, classifier: Classifier, file: Path) -> bytes:
    """Return what a result depends on; a file is the same while its size and time are."""
    state = file.stat()
    facts = (
        problem.name,
        classifier.version,
        str(file.resolve()),
        state.st_size,
        state.st_mtime_ns,
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16].encode()


def _made_of(out: Path) -> bytes | None:
    """Return the fingerprint in a result, None if there is no file.

    Raises
    ------
    OutsideError
        If there is another file in its place.
    """
    if not out.exists():
        return None
    try:
        metadata = parquet.read_schema(out).metadata or {}
    except (OSError, pa.ArrowInvalid):
        metadata = {}
    if _FINGERPRINT not in metadata:
        raise OutsideError(
            f"{out} exists and was not written by `{command('score')}`; name another --out."
        )
    found: bytes = metadata[_FINGERPRINT]
    return found


def _make(
    problem: Problem,
    classifier: Classifier,
    source: parquet.ParquetFile,
    out: Path,
    fingerprint: bytes,
) -> tuple[int, Counter[Reason]]:
    """Make all parts that are missing and put them together; return what this run has done."""
    parts = out.with_name(f".{out.name}.{fingerprint.decode()}.parts")
    parts.mkdir(parents=True, exist_ok=True)
    rows, classified, skipped = source.metadata.num_rows, 0, Counter[Reason]()
    with progressing(problem, rows) as progress:
        for part in overlapped(
            _missing(source, parts, progress),
            lambda each: _predict(problem, classifier, *each),
            _write,
        ):
            classified += len(part.table) - part.skipped.total()
            skipped += part.skipped
            progress.advance(len(part.table))
    _join(_result_schema(source.schema_arrow, classifier, fingerprint), parts, out)
    shutil.rmtree(parts)
    return classified, skipped


def _missing(
    source: parquet.ParquetFile, parts: Path, progress: Progressing
) -> Iterator[tuple[Path, pa.Table]]:
    for number, batch in enumerate(source.iter_batches(_PART_ROWS)):
        part = parts / f"{number:08}.parquet"
        if part.exists():
            progress.advance(len(batch))
        else:
            yield part, pa.Table.from_batches([batch])


def _predict(problem: Problem, classifier: Classifier, part: Path, table: pa.Table) -> _Part:
    inputs, skipped = inputs_of(problem), Counter[Reason]()
    usable: dict[int, Any] = {}
    wanted = {column for name in inputs.names if (column := column_of(table.schema, name))}
    for index, row in enumerate(table.select(sorted(wanted)).to_pylist()):
        try:
            usable[index] = inputs.read(row, limited=False)
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
    return _Part(part, kept, skipped)


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


def _join(schema: pa.Schema, parts: Path, out: Path) -> None:
    unfinished = parts / "result.unfinished"
    with parquet.ParquetWriter(unfinished, schema) as writer:
        for part in sorted(parts.glob("*.parquet")):
            writer.write_table(parquet.read_table(part).cast(schema))
    unfinished.replace(out)
