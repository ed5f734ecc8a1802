"""Year: what 400 days of retrainings leave behind, with `tidy` once a week.

python -m benchmarks.year

Each day 30 of 600 made documents change: a third is new, a third corrected or edited, a third
deleted. Then the problem is retrained, against an embedded MongoDB, an embedded MLflow and the
Prefect server of `perennial up`; every seventh day `tidy` follows. A day passes by making
everything that is stored a day older, so that what goes after some weeks goes after some minutes.

The table says what there is at day 30, 60 and 365. Files and bytes are the most of the week that
ends there, seconds are those of the processor, their median in that fortnight; memory is the peak
of the process that runs the retrainings of that month. From day 60 to day 365 nothing should grow
by more than a fifth but what holds documents: the snapshots, and the files of the server that
stands in for MongoDB.

A year that was ended goes on where it was, if it has a folder: `--folder FOLDER`.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from pymongo import MongoClient, ReplaceOne
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from benchmarks.common import clean_environment, parser, run_module, write_json
from benchmarks.history import Row
from perennial.local import embedded
from perennial.settings import OperationSettings, ServingSettings, Settings, get_settings

DAYS, DOCUMENTS, CHANGES, MONTH, WEEK = 400, 600, 30, 30, 7
SHOWN, SETTLED, CLAIMED = (30, 60, 365), 60, 1.2
WINDOW, FORTNIGHT = 7, 14
START = datetime(2025, 1, 1, tzinfo=UTC)
NAME = "year"
WORDS = [f"{first}{second}" for first in "bdfgklmnprst" for second in ("ain", "ore", "ile", "und")]
TELLING = {0: ("dull", "weak", "slow"), 1: ("warm", "bold", "fine")}
PROBLEM: dict[str, Any] = {
    "source": {"database": NAME, "collection": "documents"},
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
    "gates": {"floors": {"accuracy": 0.5}},
}
# What holds documents, and so grows with them.
HOLDS_DOCUMENTS = {"snapshots: bytes", "MongoDB, stand-in: bytes"}
_START_SECONDS = 120.0
_VACUUM_SECONDS = "15"
# Table of MLflow -> the columns with times in milliseconds.
_MLFLOW_TIMES = {
    "runs": ("start_time", "end_time"),
    "model_versions": ("creation_time", "last_updated_time"),
    "logged_models": ("creation_timestamp_ms", "last_updated_timestamp_ms"),
}
# Table of Prefect -> the columns with times by which rows are removed.
_PREFECT_TIMES = {
    "flow_run": ("created", "updated", "expected_start_time", "start_time", "end_time"),
    "events": ("occurred", "received"),
    "event_resources": ("occurred",),
    "log": ("timestamp",),
}
Day = dict[str, float]


class Changes:
    """The documents of the problem, and what happens to them each day.

    Parameters
    ----------
    uri : str
        Address of MongoDB.
    """

    def __init__(self, uri: str) -> None:
        self._documents = MongoClient[Row](uri, tz_aware=True)[NAME]["documents"]

    def make(self, day: int, count: int) -> None:
        """Add documents that were made on a day."""
        rng = random.Random(day)
        made = (
            {
                "_id": f"{day}-{number}",
                "text": _text(rng, number % 2),
                "label": number % 2,
                "created_at": START + timedelta(days=day, seconds=number),
                "source": "made",
            }
            for number in range(count)
        )
        # A day that was ended in its middle begins again.
        self._documents.bulk_write([ReplaceOne({"_id": each["_id"]}, each, True) for each in made])

    def change(self, day: int, changes: int) -> None:
        """Let a third arrive, correct or edit a third, and delete a third."""
        rng, third = random.Random(-day), changes // 3
        known = [row["_id"] for row in self._documents.find({}, {"_id": 1}).sort("_id")]
        some = rng.sample(known, changes - third)
        self._documents.delete_many({"_id": {"$in": some[:third]}})
        for place, key in enumerate(some[third:]):
            label = rng.choice([0, 1])
            changed: Row = {"text": _text(rng, label), "label": label}
            self._documents.update_one(
                {"_id": key}, {"$set": changed if place % 2 else {"label": label}}
            )
        self.make(day, third)


def _text(rng: random.Random, label: int) -> str:
    """Return a text that says its label in one word of twenty, and not always."""
    said = label if rng.random() < 0.9 else 1 - label
    return " ".join([*rng.choices(WORDS, k=20), rng.choice(TELLING[said])])


def live(settings: Settings, kept: Path, first: int, last: int) -> None:
    """Run the days of a month in this process; keep the figures of each as a line."""
    import gc

    from flows.retrain import retrain
    from flows.tidy import tidy

    changes = Changes(_mongodb(settings))
    for day in range(first, last + 1):
        changes.change(day, CHANGES)
        cpu = time.process_time()
        retrain(NAME)
        figures = {"day": day, "seconds": time.process_time() - cpu, **weigh(settings)}
        if day % WEEK == 0:
            tidy(NAME)
        grow_older(settings)
        gc.collect()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        figures["memory: MB"] = peak / (1 << 10 if sys.platform != "darwin" else 1 << 20)
        with kept.open("a") as file:
            file.write(json.dumps(figures) + "\n")


def _mongodb(settings: Settings) -> str:
    assert settings.mongodb_uri is not None
    return settings.mongodb_uri.get_secret_value()


def weigh(settings: Settings) -> dict[str, float]:
    """Return the files and bytes of every store."""
    data = settings.data_dir
    found: dict[str, float] = {}
    for name, folder in {
        "MLflow": data / "mlflow" / "artifacts",
        "snapshots": data / "snapshots",
    }.items():
        files, size = _weigh_folder(folder)
        found |= {f"{name}: files": files, f"{name}: bytes": size}
    known = {"mlflow", "snapshots", "servers", "prefect"}
    others = [_weigh_folder(folder) for folder in data.iterdir() if folder.name not in known]
    found["other files: bytes"] = sum(size for _, size in others)
    found["other files: files"] = sum(files for files, _ in others)
    for name, file in databases(settings).items():
        found[f"{name}, database: bytes"] = sum(
            path.stat().st_size for path in file.parent.glob(f"{file.name}*")
        )
    with MongoClient[Row](_mongodb(settings)) as client:
        ours = [
            client[NAME][each]
            for each in client[NAME].list_collection_names()
            if each != PROBLEM["source"]["collection"]
        ]
        found["MongoDB, ours: documents"] = sum(each.count_documents({}) for each in ours)
    found["MongoDB, stand-in: bytes"] = _weigh_folder(data / "servers" / "mongodb")[1]
    return found


def _weigh_folder(folder: Path) -> tuple[int, int]:
    paths = [folder] if folder.is_file() else [each for each in folder.rglob("*") if each.is_file()]
    # A file that has several names is on the disk once.
    sizes = {found.st_ino: found.st_size for found in (path.stat() for path in paths)}
    return len(paths), sum(sizes.values())


def databases(settings: Settings) -> dict[str, Path]:
    """Return the files of the databases of MLflow and Prefect."""
    return {
        "MLflow": settings.data_dir / "mlflow" / "mlflow.db",
        "Prefect": settings.data_dir / "prefect" / "prefect.db",
    }


def grow_older(settings: Settings) -> None:
    """Make everything a day older by whose age something is removed."""
    files = databases(settings)
    milliseconds = timedelta(days=1) // timedelta(milliseconds=1)
    _update(files["MLflow"], _MLFLOW_TIMES, f"{{0}} = {{0}} - {milliseconds}")
    # As SQLAlchemy writes times.
    earlier = "{0} = strftime('%Y-%m-%d %H:%M:%f', {0}, '-1 day') || '000'"
    _update(files["Prefect"], _PREFECT_TIMES, earlier)


def _update(file: Path, columns: Mapping[str, Sequence[str]], change: str) -> None:
    with closing(sqlite3.connect(file, timeout=_START_SECONDS)) as database:
        for table, names in columns.items():
            changes = ", ".join(change.format(name) for name in names)
            database.execute(f"UPDATE {table} SET {changes}")  # noqa: S608
        database.commit()


@contextmanager
def servers(folder: Path) -> Iterator[Mapping[str, str]]:
    """Run MongoDB and the Prefect server of `perennial up`; yield the environment of flows."""
    from deployments.processes import processes

    problems, data = folder / "problems", folder / "data"
    for each in (problems, data):
        each.mkdir(parents=True, exist_ok=True)
    with (problems / f"{NAME}.yaml").open("w") as file:
        YAML(typ="safe").dump(PROBLEM, file)
    with embedded.server(Settings(data_dir=data / "servers"), "mongodb") as mongodb:
        names = {
            "DATA_DIR": str(data),
            "PROBLEMS_DIR": str(problems),
            "MONGODB_URI": f"mongodb://127.0.0.1:{mongodb}/?directConnection=true",
        }
        operation = OperationSettings(prefect_port=_free_port())
        table = processes(Settings(data_dir=data), operation, ServingSettings())
        prefect = next(each for each in table if each.name == "prefect")
        environment = clean_environment(folder) | names
        with (folder / "prefect.log").open("ab") as log:
            server = subprocess.Popen(
                prefect.command,
                env={
                    **environment,
                    **prefect.environment,
                    "PREFECT_HOME": str(data / "prefect"),
                    # Days are seconds here.
                    "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": _VACUUM_SECONDS,
                },
                stdout=log,
                stderr=log,
            )
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not prefect.is_healthy():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"Prefect's server did not start; see {log.name}.")
                time.sleep(0.2)
            yield environment | {"PREFECT_API_URL": f"{prefect.address}/api"}
        finally:
            server.terminate()
            server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def a_year(folder: Path, days: int) -> list[Day]:
    """Live the days that are still to come, and return the figures of all."""
    kept = folder / "days.jsonl"
    found = _read(kept)
    with servers(folder) as environment:
        if not found:
            Changes(environment["MONGODB_URI"]).make(0, DOCUMENTS)
        while len(found) < days:
            last = min(days, len(found) // MONTH * MONTH + MONTH)
            month = [str(kept), str(len(found) + 1), str(last)]
            run_module(["benchmarks.year", "--live", *month], environment, folder / "month.log")
            found = _read(kept)
    return found


def _read(kept: Path) -> list[Day]:
    return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []


def at(days: Sequence[Day], day: int) -> Day:
    """Return what the table says of a day."""
    week, fortnight = days[max(0, day - WINDOW) : day], days[max(0, day - FORTNIGHT) : day]
    figures = {name: max(each[name] for each in week) for name in week[-1] if name != "day"}
    return figures | {"seconds": median(each["seconds"] for each in fortnight)}


def main() -> None:
    """Live a year, and print a table."""
    options = parser(__doc__)
    options.add_argument("--days", type=int, default=DAYS, help="default: %(default)s")
    options.add_argument("--folder", type=Path, help="where the year is kept, to go on with it")
    options.add_argument("--live", nargs=3, help="of a process of its own")
    arguments = options.parse_args()
    if arguments.live is not None:
        kept, first, last = arguments.live
        live(get_settings(), Path(kept), int(first), int(last))
        return
    # Whoever ends this process ends the servers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with TemporaryDirectory() as scratch:
        days = a_year(arguments.folder or Path(scratch), arguments.days)
    shown = [day for day in SHOWN if day <= len(days)]
    if SHOWN[-1] not in shown:
        shown.append(len(days))
    _print(days, shown)
    write_json(arguments.json, {str(day): at(days, day) for day in shown})


def _print(days: Sequence[Day], shown: Sequence[int]) -> None:
    table = Table(title=f"{len(days)} days of {CHANGES} changes each, tidied once a week")
    for name in ("", *(f"day {day}" for day in shown), "growth", "at most"):
        table.add_column(name, justify="left" if not name else "right")
    figures = [at(days, day) for day in shown]
    settled = at(days, SETTLED) if len(days) > SETTLED else figures[0]
    for name in sorted(figures[-1]):
        values = [each[name] for each in figures]
        growth = values[-1] / settled[name] if settled[name] else 1.0
        most = "with documents" if name in HOLDS_DOCUMENTS else str(CLAIMED)
        written = [f"{value:,.2f}" if name == "seconds" else f"{value:,.0f}" for value in values]
        table.add_row(name, *written, f"{growth:.2f}", most)
    Console().print(table)


if __name__ == "__main__":
    main()
