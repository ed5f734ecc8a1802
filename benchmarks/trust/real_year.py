"""A year of real flows on real snippets: is every promotion better on fresh documents?

Short film reviews arrive day by day, and the flow `retrain` runs after each day with everything
that a problem has by default, confirmations included. 2,000 reviews never arrive: after each
promotion the version before and the new one answer them, and the difference is what the promotion
was truly worth. `--fast` lives 60 days with fewer reviews each; a year that was ended goes on where
it was, if it has a folder (`--folder`).
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from pymongo import MongoClient
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from benchmarks.common import clean_environment, run_module
from perennial.local import embedded
from perennial.settings import Settings

NAME = "snippets"
FRESH, FIRST = 2_000, 600
DAYS, A_DAY = 120, 45
FAST_DAYS, FAST_A_DAY = 60, 60
START = datetime(2026, 1, 1, tzinfo=UTC)
PROBLEM: dict[str, Any] = {
    "source": {"database": NAME, "collection": "documents"},
    "labels": {"negative": 0, "positive": 1},
    "limits": {"min_words": 3},
    "preparations": {"plain": {"stop_words": "keep", "lemmas": "none"}},
    "candidates": {
        "nbsvm": {
            "preparation": "plain",
            "features": {"weighting": "tfidf"},
            "estimator": "nb_svm",
        }
    },
}
Row = dict[str, Any]


def live(kept: Path, days: int, a_day: int) -> None:
    """Live the days that are still to come; the caller has set the environment of flows."""
    from flows.retrain import retrain
    from perennial.registry.client import open_registry
    from perennial.settings import get_settings
    from tasks.orchestration.connect import connect

    settings = get_settings()
    rows, fresh = reviews()
    connect()
    registry = open_registry(settings)
    for day in range(len(read(kept)), days):
        _arrive(settings, rows, day, a_day)
        before = registry.production(NAME)
        verdict = retrain(NAME).verdict
        after = registry.production(NAME)
        figures: Row = {"day": day, "outcome": None if verdict is None else verdict.outcome}
        if after is not None and (before is None or before.version != after.version):
            figures["version"] = after.version
            right = _right(registry.load(after), fresh)
            figures["fresh"] = float(right.mean())
            if before is not None and verdict is not None and verdict.selection is not None:
                old = _right(registry.load(before), fresh)
                figures["gain"] = float(right.mean() - old.mean())
                figures["claimed"] = verdict.selection.claimed
                figures["corrected"] = verdict.selection.corrected
        with kept.open("a") as file:
            file.write(json.dumps(figures) + "\n")


def reviews() -> tuple[list[Row], pa.Table]:
    """Return the short film reviews that arrive, in their order, and those that never do."""
    from tasks.data.seed import read_file, reviews_file

    table = read_file(reviews_file(), text="text", label="label", source="rotten_tomatoes")
    order = np.random.default_rng(3).permutation(len(table))
    table = table.take(pa.array(order))
    return table.slice(FRESH).to_pylist(), table.slice(0, FRESH)


def _arrive(settings: Settings, rows: Sequence[Row], day: int, a_day: int) -> None:
    """Let the documents of a day arrive; on the first day there are some already."""
    first, count = (0, FIRST) if day == 0 else (FIRST + (day - 1) * a_day, a_day)
    documents = [
        {
            "_id": f"review-{number}",
            "text": row["text"],
            "label": int(row["label"]),
            "source": "snippets",
            "created_at": START + timedelta(days=day, seconds=number),
        }
        for number, row in enumerate(rows[first : first + count], first)
    ]
    assert settings.mongodb_uri is not None
    with MongoClient[Row](settings.mongodb_uri.get_secret_value(), tz_aware=True) as client:
        client[NAME]["documents"].insert_many(documents)


def _right(model: Any, fresh: pa.Table) -> Any:
    stored = {str(code): label for label, code in PROBLEM["labels"].items()}
    truth = np.array([stored[str(label)] for label in fresh["label"].to_pylist()])
    return np.asarray(model.predict(fresh["text"].combine_chunks())) == truth


def a_year(folder: Path, *, fast: bool) -> list[Row]:
    """Live a year in a folder, and return what happened each day."""
    problems, data = folder / "problems", folder / "data"
    for each in (problems, data):
        each.mkdir(parents=True, exist_ok=True)
    with (problems / f"{NAME}.yaml").open("w") as file:
        YAML(typ="safe").dump(PROBLEM, file)
    kept = folder / "days.jsonl"
    days = (FAST_DAYS, FAST_A_DAY) if fast else (DAYS, A_DAY)
    with (
        embedded.server(Settings(data_dir=data / "servers"), "mongodb") as mongodb,
        embedded.server(Settings(data_dir=data / "servers"), "prefect") as prefect,
    ):
        environment = clean_environment(folder) | {
            "DATA_DIR": str(data),
            "PROBLEMS_DIR": str(problems),
            "MONGODB_URI": f"mongodb://127.0.0.1:{mongodb}/?directConnection=true",
            "PREFECT_API_URL": f"http://127.0.0.1:{prefect}/api",
        }
        command = ["benchmarks.trust.real_year", str(kept), *map(str, days)]
        run_module(command, environment, folder / "year.log")
    return read(kept)


def read(kept: Path) -> list[Row]:
    """Return what has happened so far, a row for each day."""
    return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []


def measure(folder: Path | None, *, fast: bool) -> list[Row]:
    """Live a year, in a folder that is kept or in one that is not."""
    with TemporaryDirectory() as scratch:
        return a_year(folder or Path(scratch), fast=fast)


def show(days: Sequence[Row]) -> None:
    """Print every promotion of the year with what it was truly worth."""
    table = Table(title=f"{len(days)} retrainings on real snippets", title_justify="left")
    for heading in ("day", "version", "claimed", "corrected", "fresh", "truly better by"):
        table.add_column(heading, justify="right")
    for day in days:
        if "version" in day:
            figures = (day.get(name) for name in ("claimed", "corrected", "fresh", "gain"))
            cells = ("-" if value is None else f"{value:.4f}" for value in figures)
            table.add_row(str(day["day"]), str(day["version"]), *cells)
    gains = [day["gain"] for day in days if "gain" in day]
    Console().print(
        table,
        f"{len(gains)} promotions, {sum(gain > 0 for gain in gains)} of them better on "
        f"{FRESH:,} documents that no holdout ever had.",
    )


if __name__ == "__main__":
    arguments = ArgumentParser(description=__doc__)
    arguments.add_argument("kept", type=Path)
    arguments.add_argument("days", type=int)
    arguments.add_argument("a_day", type=int)
    options = arguments.parse_args(sys.argv[1:])
    live(options.kept, options.days, options.a_day)
