"""Score a file: predictions of the Production model beside its rows.

The result appears in one step when it is complete. Until then parts of it lie in a folder beside
it, so that a run that was ended goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pyarrow import parquet

from perennial.commands import command
from perennial.config.problem import Problem
from perennial.engine.connection import connected
from perennial.engine.workers import Engine
from perennial.errors import OutsideError
from perennial.files.parquet_rows import ParquetTable
from perennial.files.table import open_table
from perennial.reasons import Reason
from perennial.settings import get_settings
from tasks.scoring.batch import Progressing, ScoreResult, overlapped, progressing, say
from tasks.scoring.classifier import Classifier, fetch_production
from tasks.scoring.parts import (
    PREFIX,
    Classified,
    Rows,
    Source,
    Unclassified,
    classify_rows,
    kept,
    lay_out,
    open_source,
    part_file,
    predict,
    types_of,
    write_part,
)
from tasks.scoring.result import CSV, Joining, joining

_PART_ROWS = 10_000
_PARQUET = ".parquet"
_FINGERPRINT = b"perennial.scored"
# How many parts a worker makes at most before it says so, and how often each has to on the whole:
# to find them, it reads a group of rows of the file from its beginning.
_PARTS_AT_ONCE, _TIMES = 50, 4
_write = write_part


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
    read = (text_column, encoding)
    fetched = fetch_production(problem)
    classifier = fetched.opened()
    source = open_source(problem, file, *read)
    fingerprint = _fingerprint(problem, classifier, file, read)
    made_before = _made_of(out)
    start = time.perf_counter()
    if made_before == fingerprint and not again:
        classified, skipped = 0, Counter[Reason]()
    else:
        parts = out.absolute().with_name(f".{out.name}.{fingerprint.decode()}.parts")
        parts.mkdir(parents=True, exist_ok=True)
        prepare = partial(lay_out, parts, problem, fetched, file, read)
        schema = _result_schema(source.rows.schema, classifier, fingerprint)
        with (
            progressing(problem, len(source.rows)) as progress,
            joining(schema, tuple(classifier.classes), parts, out) as joined,
        ):
            made = _make(problem, classifier, source, parts, progress, prepare)
            classified, skipped = _follow(made, progress, joined)
        shutil.rmtree(parts)
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
    if out.suffix.lower() not in (_PARQUET, CSV):
        raise OutsideError(f"--out {out} ends neither with .parquet nor with .csv; rename it.")
    if out.exists() and file.exists() and out.samefile(file):
        raise OutsideError(f"--out {out} is the file that is read; name another one.")


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
    if out.suffix.lower() == CSV:
        if f"{PREFIX}version" not in open_table(out).columns:
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
    source: Source,
    folder: Path,
    progress: Progressing,
    prepare: Callable[[], str],
) -> Iterator[Classified]:
    """Make the parts that are missing, here or by the engine, for which more must be prepared."""
    with _engine_for(source) as engine:
        if engine is None:
            yield from _made_here(problem, classifier, source, folder, progress)
        else:
            yield from _made_by(engine, prepare(), source, folder, progress)


@contextmanager
def _engine_for(source: Source) -> Iterator[Engine | None]:
    """Yield the engine, if there is one and workers can read rows from the middle of the file."""
    settings = get_settings()
    if settings.engine is not None and not isinstance(source.table, ParquetTable):
        get_run_logger().info(
            "%s is classified by this process alone: the engine reads parts of Parquet only.",
            source.table.path,
        )
        yield None
        return
    with connected(settings) as engine:
        yield engine


def _follow(
    made: Iterator[Classified], progress: Progressing, joined: Joining
) -> tuple[int, Counter[Reason]]:
    """Join parts, and show how far a run is, until all are made; return what it has done."""
    classified, skipped = 0, Counter[Reason]()
    for part in made:
        progress.advance(part.rows)
        joined.join_ready()
        classified += part.rows - part.skipped.total()
        skipped += part.skipped
    return classified, skipped


def _made_here(
    problem: Problem,
    classifier: Classifier,
    source: Source,
    folder: Path,
    progress: Progressing,
) -> Iterator[Classified]:
    """Make the parts that are missing."""
    for part in overlapped(
        _missing(source, folder, progress),
        lambda each: predict(problem, classifier, source, each),
        _write,
    ):
        yield Classified(len(part.table), part.skipped)


def _missing(source: Source, folder: Path, progress: Progressing) -> Iterator[Unclassified]:
    for number, (rows, table) in enumerate(source.rows.batches(_PART_ROWS)):
        part = part_file(folder, number)
        if part.exists():
            progress.advance(len(rows))
        else:
            yield Unclassified(part, rows, table)


def _made_by(
    engine: Engine, digest: str, source: Source, folder: Path, progress: Progressing
) -> Iterator[Classified]:
    """Let workers make the parts that are missing."""
    missing, size = [], _PART_ROWS
    for number, first in enumerate(range(0, len(source.rows), size)):
        if part_file(folder, number).exists():
            progress.advance(min(size, len(source.rows) - first))
        else:
            missing.append(number)
    at_once = min(max(len(missing) // (engine.places * _TIMES), 1), _PARTS_AT_ONCE)
    rows = [
        Rows(folder, digest, tuple(missing[start : start + at_once]), size)
        for start in range(0, len(missing), at_once)
    ]
    for _, classified in engine.done(classify_rows, rows):
        yield classified


def _result_schema(schema: pa.Schema, classifier: Classifier, fingerprint: bytes) -> pa.Schema:
    fields = [schema.field(name) for name in kept(schema)]
    added = [pa.field(PREFIX + name, kind) for name, kind in types_of(classifier).items()]
    return pa.schema([*fields, *added], {**(schema.metadata or {}), _FINGERPRINT: fingerprint})
