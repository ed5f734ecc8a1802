"""Retraining: ours as one process against the tutorials' pipeline of scripts.

python -m benchmarks.retrain

Both sides do the work of `benchmarks/tutorial/problem.yaml` on the 25,000 IMDb reviews, as
processes that start from nothing but the documents: two preparations, three bags of words, five
candidates that are compared on validation documents, the best one fitted again on the whole
training part and evaluated on a fifth of the documents; MLflow runs, model version and alias. The
peer reads a CSV file and hands files from stage to stage. We read MongoDB, and do more: a snapshot,
quarantine and duplicates, intervals, pictures, golden examples, a verdict, and Prefect's records.

*Servers running*: MongoDB and the Prefect server run already and MLflow's database is there, as in
production. *Embedded, fresh*: our process starts both servers, and the databases of MLflow and
Prefect do not exist yet, as at the first run on a laptop. The peer needs no server, and its MLflow
database is there. Both sides have run before, so that byte code and caches are there.

`--candidate NAME` leaves one candidate to both sides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, zip_longest
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from pyarrow import csv
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from benchmarks.common import (
    clean_environment,
    interleave,
    medians,
    parser,
    read_reviews,
    write_json,
)
from benchmarks.ours import Project
from benchmarks.tutorial import pipeline
from benchmarks.tutorial.files import Files
from perennial.registry.client import open_registry
from perennial.settings import PROJECT

RUNNING, FRESH, PEER = "ours, servers running", "ours, embedded, fresh", "tutorial pipeline"
START_AND_END = "start and end"
# Every so many-th review is enough to warm up.
FEW = 20


@dataclass(frozen=True)
class Timed:
    """The seconds of one retraining, as a whole and by stage."""

    seconds: float
    stages: Mapping[str, float]


class Ours:
    """Our retraining, on a data folder whose MongoDB has the documents of one file.

    Attributes
    ----------
    project : Project
        The data folder and its environment.
    problem : str
        Name of the problem that was retrained last.
    """

    def __init__(self, scratch: Path, name: str, documents: Path, candidate: str | None) -> None:
        self._problems = scratch / name / "problems"
        self._problems.mkdir(parents=True)
        self._spec = problem_with(candidate)
        self.project = Project(scratch, f"{name}/data", self._problems)
        self._names = (f"sentiment-{number}" for number in count(1))
        self.problem = next(self._names)
        self._write()
        self.project.seed(self.problem, documents)

    def fresh(self) -> Timed:
        """Retrain with nothing there but the documents in MongoDB."""
        self.project.forget()
        return self._retrain()

    def running(self) -> Timed:
        """Retrain a problem that is new, with everything else in place."""
        with self.project.servers():
            return self._retrain()

    def accuracy(self) -> float:
        """Return what Production showed on the holdout."""
        production = open_registry(self.project.settings).production(self.problem)
        if production is None:
            raise RuntimeError("the retraining promoted nothing")
        return production.metrics["accuracy"]

    def _retrain(self) -> Timed:
        self.problem = next(self._names)
        self._write()
        retrained = self.project.retrain(self.problem)
        seconds = retrained.usage.seconds
        start_and_end = seconds - sum(retrained.steps.values())
        return Timed(seconds, {START_AND_END: start_and_end, **retrained.steps})

    def _write(self) -> None:
        YAML().dump(self._spec, self._problems / f"{self.problem}.yaml")


def problem_with(candidate: str | None) -> dict[str, Any]:
    """Return the film reviews' problem, with one candidate or all."""
    problem: dict[str, Any] = YAML().load(PROJECT / "benchmarks" / "tutorial" / "problem.yaml")
    if candidate is not None:
        chosen = problem["candidates"][candidate]
        problem["candidates"] = {candidate: chosen}
    return problem


class Peer:
    """The tutorials' pipeline, on one CSV file."""

    def __init__(
        self,
        scratch: Path,
        name: str,
        documents: Path,
        candidate: str | None,
        *,
        stop_words_per_row: bool,
    ) -> None:
        self._work = scratch / name
        self._documents = documents
        self._candidates = [candidate] if candidate is not None else []
        # Its fit takes longer with several BLAS threads, and many times as long on a busy machine.
        self._environment = {**clean_environment(scratch), "OPENBLAS_NUM_THREADS": "1"}
        self._stop_words_per_row = stop_words_per_row

    def again(self) -> Timed:
        """Retrain in the same folder, whose MLflow database is there after the first time."""
        seconds = pipeline.run(
            self._documents,
            self._work,
            self._candidates,
            stop_words_per_row=self._stop_words_per_row,
            env=self._environment,
        )
        return Timed(sum(seconds.values()), seconds)

    def accuracy(self) -> float:
        """Return what the last model showed on the test part."""
        metrics = json.loads(Files(self._work).metrics.read_text(encoding="utf-8"))
        return float(metrics["accuracy"])


def write_documents(path: Path, rows: pa.Table) -> Path:
    """Write the texts and labels to a CSV file."""
    csv.write_csv(rows.select(["text", "label"]), path)
    return path


def warm_up(scratch: Path, few: Path, candidate: str | None, peer: Peer) -> None:
    """Let both sides run once: ours on a few reviews, the peer on the documents themselves."""
    ours = Ours(scratch, "ours-few", few, candidate)
    ours.fresh()
    peer.again()


def measure(rounds: int, candidate: str | None, *, stop_words_per_row: bool) -> dict[str, Any]:
    """Run both sides and return what is written as JSON."""
    reviews = read_reviews()
    with TemporaryDirectory() as name:
        scratch = Path(name)
        some = list(range(0, len(reviews), FEW))
        few = write_documents(scratch / "few.csv", reviews.take(some))
        documents = write_documents(scratch / "reviews.csv", reviews)
        peer = Peer(scratch, "peer", documents, candidate, stop_words_per_row=stop_words_per_row)
        warm_up(scratch, few, candidate, peer)
        ours = Ours(scratch, "ours", documents, candidate)
        ways = {FRESH: ours.fresh, RUNNING: ours.running, PEER: peer.again}
        timed = interleave(rounds, ways)
        accuracy = {"ours": ours.accuracy(), "tutorial": peer.accuracy()}
    return figures_of(timed, accuracy, len(reviews))


def figures_of(
    timed: Mapping[str, list[Timed]], accuracy: Mapping[str, float], documents: int
) -> dict[str, Any]:
    """Return the medians, and how many times as long the peer takes."""
    seconds = {name: median(t.seconds for t in rounds) for name, rounds in timed.items()}
    return {
        "ratio": seconds[PEER] / seconds[RUNNING],
        "ratio_fresh": seconds[PEER] / seconds[FRESH],
        "seconds_ours": seconds[RUNNING],
        "seconds_ours_fresh": seconds[FRESH],
        "seconds_tutorial": seconds[PEER],
        "accuracy_ours": accuracy["ours"],
        "accuracy_tutorial": accuracy["tutorial"],
        "stages": {name: medians([t.stages for t in rounds]) for name, rounds in timed.items()},
        "rounds": len(timed[FRESH]),
        "rounds_seconds": {name: [t.seconds for t in rounds] for name, rounds in timed.items()},
        "documents": documents,
    }


def show(figures: Mapping[str, Any]) -> None:
    """Print the stages of all ways beside each other, and the accuracies."""
    table = Table(
        title=f"{figures['documents']:,} film reviews, median of {figures['rounds']} rounds",
        title_justify="left",
    )
    totals = {
        RUNNING: figures["seconds_ours"],
        FRESH: figures["seconds_ours_fresh"],
        PEER: figures["seconds_tutorial"],
    }
    for heading in totals:
        table.add_column(f"{heading}: stage")
        table.add_column("s", justify="right")
    columns = [
        [*((stage, f"{s:.2f}") for stage, s in figures["stages"][way].items()), ("all", f"{s:.2f}")]
        for way, s in totals.items()
    ]
    for line in zip_longest(*columns, fillvalue=("", "")):
        table.add_row(*(cell for pair in line for cell in pair))
    Console().print(
        table,
        f"The tutorials' pipeline takes [bold]{figures['ratio']:.1f}[/bold] times as long as ours "
        f"with the servers running, {figures['ratio_fresh']:.1f} times as long as ours that starts "
        f"them. Accuracy: ours {figures['accuracy_ours']:.4f}, tutorial "
        f"{figures['accuracy_tutorial']:.4f}, on holdouts of their own.",
    )


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--stop-words-once",
        action="store_true",
        help="let the peer read the stop words once, not for every row as is widely copied",
    )
    arguments.add_argument("--candidate", help="one candidate of the problem; default: all")
    options = arguments.parse_args()
    figures = measure(
        options.rounds, options.candidate, stop_words_per_row=not options.stop_words_once
    )
    write_json(options.json, figures)
    show(figures)


if __name__ == "__main__":
    main()
