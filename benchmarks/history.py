"""History: whether a year of changes slows a problem down, and what it takes to find them.

python -m benchmarks.history

*A year*: a collection of short made documents is ingested once, and then again after each of 365
days on each of which 30 documents change: a third is new, a third corrected or edited, a third
deleted. Each ingestion and one read of the newest snapshot are measured, in CPU seconds of this
process; the figure is the mean of the last 20 days over that of the first 20, which a year should
not raise beyond 1.5.

*Reconciling*: 100,000 documents of which 100 changed, compared one by one with the last snapshot,
against the first ingestion of all of them, each in a process of its own; and the same found by the
change stream, where the server has one. Seconds are of the clock, and most of them are MongoDB's;
beside them are the CPU seconds of our process. Memory: by how many bytes per document the peak of
the process grows between a tenth of the collection and all of it. Servers are embedded; they run in
processes of their own and already.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from benchmarks.common import clean_environment, interleave, parser, run_module, write_json

DAYS, CHANGES, WINDOW = 365, 30, 20
SMALL, LARGE, CHANGED = 5_000, 100_000, 100
CLAIMED_YEAR, CLAIMED_RECONCILE = 1.5, 0.5
START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = [f"{first}{second}" for first in "bdfgklmnprst" for second in ("ain", "ore", "ile", "und")]
PROBLEM: dict[str, Any] = {
    "source": {"database": "history", "collection": "documents"},
    "labels": {"negative": 0, "positive": 1},
    "limits": {"min_words": 3},
    "preparations": {"plain": {"stop_words": "keep", "lemmas": "none"}},
    "candidates": {
        "bayes": {
            "preparation": "plain",
            "features": {"weighting": "counts"},
            "estimator": "multinomial_naive_bayes",
        }
    },
    "gates": {"floors": {"accuracy": 0.5}, "first_version": None},
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Once:
    """What one ingestion in a process of its own took."""

    seconds: float
    cpu: float
    peak_mb: float


class Collection:
    """The made documents of one problem in MongoDB, and what happens to them."""

    def __init__(self, name: str, uri: str, problems: Path, documents: int) -> None:
        self._rng = random.Random(1)
        self._client: MongoClient[Row] = MongoClient(uri, tz_aware=True)
        self._documents = self._client[name]["documents"]
        self._made = 0
        source = PROBLEM["source"] | {"database": name}
        with (problems / f"{name}.yaml").open("w") as file:
            YAML(typ="safe").dump(PROBLEM | {"source": source}, file)
        while self._made < documents:
            self._documents.insert_many([self._make() for _ in range(min(10_000, documents))])

    def change(self, changes: int) -> None:
        """Let a third arrive, correct or edit a third, and delete a third."""
        third = changes // 3
        known = [row["_id"] for row in self._documents.find({}, {"_id": 1})]
        some = self._rng.sample(known, changes - third)
        self._documents.insert_many([self._make() for _ in range(third)])
        self._documents.delete_many({"_id": {"$in": some[:third]}})
        for place, key in enumerate(some[third:]):
            changed = (
                {"text": self._text()} if place % 2 else {"label": self._rng.choice([0, 1, "odd"])}
            )
            self._documents.update_one({"_id": key}, {"$set": changed})

    def _make(self) -> Row:
        number = self._made
        self._made += 1
        return {
            "_id": f"document-{number}",
            "text": self._text(),
            "label": number % 2,
            "created_at": START + timedelta(seconds=number),
            "source": "made",
        }

    def _text(self) -> str:
        return " ".join(self._rng.choices(WORDS, k=20))


def ingest_once(name: str, *, rescan: bool = False) -> tuple[float, float]:
    """Ingest a problem in this process and return the seconds, of the clock and of the CPU."""
    from prefect.logging import disable_run_logger

    from perennial.config.loader import load_problem
    from perennial.settings import get_settings
    from tasks.data.ingest import ingest

    problem = load_problem(get_settings().problem_file(name))
    with disable_run_logger():
        start, cpu = time.perf_counter(), time.process_time()
        ingest.fn(problem, rescan=rescan)
        return time.perf_counter() - start, time.process_time() - cpu


def a_year(make: Callable[[str, int], Collection], documents: int, days: int) -> dict[str, float]:
    """Return how a year of changes slows an ingestion and a read down, and the files it leaves."""
    from perennial.settings import get_settings
    from perennial.stores.snapshots.store import SnapshotStore

    collection = make("year", documents)
    ingest_once("year")
    ingested, read = [], []
    for _ in range(days):
        collection.change(CHANGES)
        ingested.append(ingest_once("year")[1])
        store = SnapshotStore("year", get_settings())
        start = time.process_time()
        latest = store.latest()
        assert latest is not None
        store.read(latest)
        read.append(time.process_time() - start)
    files = [path for path in Path(store.uri).rglob("*") if path.is_file()]
    figures = {
        "files": len(files),
        "megabytes": sum(path.stat().st_size for path in files) / 1e6,
    }
    for name, seconds in (("ingest", ingested), ("read", read)):
        first, last = mean(seconds[:WINDOW]), mean(seconds[-WINDOW:])
        figures |= {f"{name}.first": first, f"{name}.last": last, f"{name}.ratio": last / first}
    return figures


def reconciling(
    make: Callable[[str, int], Collection],
    run: Callable[[str, str], Once],
    rounds: int,
    documents: int,
) -> dict[str, float]:
    """Return seconds of finding few changes, as a ratio to a first ingestion, and memory."""
    tenth = make("tenth", documents // 10)
    run("ingest", "tenth")
    tenth.change(CHANGED)
    small = run("rescan", "tenth")
    whole = make("whole", documents)
    first = run("ingest", "whole")

    def found(way: str) -> Once:
        whole.change(CHANGED)
        return run(way, "whole")

    ways = interleave(rounds, {way: partial(found, way) for way in ("rescan", "ingest")})
    figures = {"first.seconds": first.seconds, "first.cpu": first.cpu}
    for name, way in (("reconcile", "rescan"), ("stream", "ingest")):
        seconds = median(each.seconds for each in ways[way])
        figures |= {
            f"{name}.seconds": seconds,
            f"{name}.ratio": seconds / first.seconds,
            f"{name}.cpu": median(each.cpu for each in ways[way]),
        }
    peak = median(each.peak_mb for each in ways["rescan"])
    grown = (peak - small.peak_mb) * 2**20 / (documents * 0.9)
    return figures | {"peak_mb": peak, "bytes_per_document": grown}


@contextmanager
def machine(scratch: Path) -> Iterator[tuple[str, Path, Mapping[str, str]]]:
    """Yield the address of a MongoDB, the folder of the problems, and the environment."""
    from perennial.local import embedded
    from perennial.settings import Settings, get_settings

    problems = scratch / "problems"
    problems.mkdir()
    with embedded.server(Settings(data_dir=scratch / "servers"), "mongodb") as port:
        uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        names = {
            "DATA_DIR": str(scratch / "data"),
            "PROBLEMS_DIR": str(problems),
            "MONGODB_URI": uri,
        }
        os.environ.update(names)
        get_settings.cache_clear()
        yield uri, problems, clean_environment(scratch) | names


def main() -> None:
    """Measure, and print a table."""
    options = parser(__doc__)
    options.add_argument("--documents", type=int, default=LARGE, help="default: %(default)s")
    options.add_argument(
        "--days", type=int, default=DAYS, help="default: %(default)s; 0 leaves the year out"
    )
    options.add_argument("--once", nargs=2, metavar=("WAY", "NAME"), help="of processes of its own")
    arguments = options.parse_args()
    if arguments.once is not None:
        way, name = arguments.once
        sys.stdout.write(json.dumps(ingest_once(name, rescan=way == "rescan")))
        return
    with TemporaryDirectory() as folder, machine(Path(folder)) as (uri, problems, environment):

        def make(name: str, documents: int) -> Collection:
            return Collection(name, uri, problems, documents)

        def run(way: str, name: str) -> Once:
            log = Path(folder) / "once.log"
            usage = run_module(["benchmarks.history", "--once", way, name], environment, log)
            seconds, cpu = json.loads(log.read_text().splitlines()[-1])
            return Once(seconds, cpu, usage.peak_mb)

        year: dict[str, float] = {}
        if arguments.days:
            year = a_year(make, SMALL, arguments.days)
            _print_year(year, arguments.days)
        found = reconciling(make, run, arguments.rounds, arguments.documents)
        _print_reconciling(found, arguments.documents)
    write_json(arguments.json, {"year": year, "reconciling": found})


def _print_year(year: Mapping[str, float], days: int) -> None:
    table = Table(title=f"{days} days of {CHANGES} changes each, CPU seconds")
    for name in ("", f"first {WINDOW}", f"last {WINDOW}", "ratio", "at most"):
        table.add_column(name)
    for name in ("ingest", "read"):
        parts = [f"{year[f'{name}.{part}']:.3f}" for part in ("first", "last", "ratio")]
        table.add_row(name, *parts, str(CLAIMED_YEAR))
    Console().print(table, f"{year['files']:.0f} files, {year['megabytes']:.1f} MB")


def _print_reconciling(found: Mapping[str, float], documents: int) -> None:
    table = Table(title=f"{CHANGED} changes among {documents:,} documents")
    for name in ("", "seconds", "ratio", "at most", "CPU seconds"):
        table.add_column(name)
    names = {
        "first": "first ingestion",
        "reconcile": "compare everything",
        "stream": "change stream",
    }
    for name, label in names.items():
        ratio = f"{found.get(f'{name}.ratio', 1.0):.3f}"
        most = "" if name == "first" else str(CLAIMED_RECONCILE)
        seconds, cpu = found[f"{name}.seconds"], found[f"{name}.cpu"]
        table.add_row(label, f"{seconds:.2f}", ratio, most, f"{cpu:.2f}")
    memory = f"peak {found['peak_mb']:.0f} MB, {found['bytes_per_document']:.0f} bytes per document"
    Console().print(table, memory)


if __name__ == "__main__":
    main()
