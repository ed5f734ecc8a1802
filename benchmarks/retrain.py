"""Retraining: ours as one process against the tutorials' pipeline of six.

python -m benchmarks.retrain

Both sides do the whole work on the 25,000 IMDb reviews, as processes that start from nothing: the
same cleaning, a bag of every word, logistic regression with the same solver and parameters,
evaluation on a fifth of the documents, MLflow run, model version and alias. The peer reads a CSV
file and hands files from stage to stage. We read MongoDB (the embedded server, whose start is in
our time), and do more: a snapshot, quarantine and duplicates, a second fit (one to choose, one on
all training documents), intervals, pictures, golden examples, a verdict, and Prefect's records.

*Fresh*: neither the peer's MLflow database nor those of our MLflow and Prefect exist.
*Initialised*: ours exist. Both sides have run before, on a few reviews, so that byte code and
caches are there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from pyarrow import csv
from rich.console import Console
from rich.table import Table

import registry
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

FRESH, INITIALISED, PEER = "ours, fresh", "ours, initialised", "tutorial pipeline, fresh"
START_AND_END = "start and end"
# Every so many-th review is enough to warm up.
FEW = 20
PROBLEM = """
source: {database: perennial, collection: benchmark}
labels: {negative: 0, positive: 1}
preparations:
  plain: {html: false}
candidates:
  same:
    preparation: plain
    features: {weighting: counts, min_documents: 1}
    estimator: logistic_regression
    parameters: {C: 1.0, solver: liblinear}
"""
# Two names of the same problem: the second finds databases, but no Production model.
FIRST, SECOND = "first", "second"


@dataclass(frozen=True)
class Timed:
    """The seconds of one retraining, as a whole and by stage."""

    seconds: float
    stages: Mapping[str, float]


class Ours:
    """Our retraining, on a data folder whose MongoDB has the documents of one file."""

    def __init__(self, scratch: Path, name: str, documents: Path) -> None:
        problems = scratch / "problems"
        problems.mkdir(exist_ok=True)
        for problem in (FIRST, SECOND):
            (problems / f"{problem}.yaml").write_text(PROBLEM, encoding="utf-8")
        self._project = Project(scratch, name, problems)
        self._project.seed(FIRST, documents)

    def fresh(self) -> Timed:
        """Retrain with nothing there but the documents in MongoDB."""
        self._project.forget()
        return self._retrain(FIRST)

    def initialised(self) -> Timed:
        """Retrain a problem that is new, with the databases of MLflow and Prefect in place."""
        return self._retrain(SECOND)

    def accuracy(self) -> float:
        """Return what Production showed on the holdout."""
        production = registry.connect(self._project.settings).production(FIRST)
        if production is None:
            raise RuntimeError("the retraining promoted nothing")
        return float(production.tags[f"{registry.TAG}holdout.accuracy"].split()[0])

    def _retrain(self, problem: str) -> Timed:
        retrained = self._project.retrain(problem)
        seconds = retrained.usage.seconds
        start_and_end = seconds - sum(retrained.steps.values())
        return Timed(seconds, {START_AND_END: start_and_end, **retrained.steps})


class Peer:
    """The tutorials' pipeline, on one CSV file."""

    def __init__(
        self, scratch: Path, name: str, documents: Path, *, stop_words_per_row: bool
    ) -> None:
        self._work = scratch / name
        self._documents = documents
        # Its fit takes longer with several BLAS threads, and many times as long on a busy machine.
        self._environment = {**clean_environment(scratch), "OPENBLAS_NUM_THREADS": "1"}
        self._stop_words_per_row = stop_words_per_row

    def fresh(self) -> Timed:
        """Retrain with nothing there but the CSV file."""
        shutil.rmtree(self._work, ignore_errors=True)
        times = pipeline.run(
            self._documents,
            self._work,
            stop_words_per_row=self._stop_words_per_row,
            env=self._environment,
        )
        return Timed(times.total, times.by_stage())

    def accuracy(self) -> float:
        """Return what the last model showed on the test part."""
        metrics = json.loads(Files(self._work).metrics.read_text(encoding="utf-8"))
        return float(metrics["accuracy"])


def write_documents(path: Path, rows: pa.Table) -> Path:
    """Write the texts and labels to a CSV file."""
    csv.write_csv(rows.select(["text", "label"]), path)
    return path


def warm_up(scratch: Path, reviews: pa.Table) -> None:
    """Let both sides run once on a few reviews."""
    few = write_documents(scratch / "few.csv", reviews.take(list(range(0, len(reviews), FEW))))
    Ours(scratch, "ours-few", few).fresh()
    Peer(scratch, "peer-few", few, stop_words_per_row=False).fresh()


def measure(rounds: int, *, stop_words_per_row: bool) -> dict[str, Any]:
    """Run both sides and return what is written as JSON."""
    reviews = read_reviews()
    with TemporaryDirectory() as name:
        scratch = Path(name)
        warm_up(scratch, reviews)
        documents = write_documents(scratch / "reviews.csv", reviews)
        ours = Ours(scratch, "ours", documents)
        peer = Peer(scratch, "peer", documents, stop_words_per_row=stop_words_per_row)
        ways = {FRESH: ours.fresh, INITIALISED: ours.initialised, PEER: peer.fresh}
        timed = interleave(rounds, ways)
        accuracy = {"ours": ours.accuracy(), "tutorial": peer.accuracy()}
    return figures_of(timed, accuracy, len(reviews))


def figures_of(
    timed: Mapping[str, list[Timed]], accuracy: Mapping[str, float], documents: int
) -> dict[str, Any]:
    """Return the medians, and how many times as long the peer takes."""
    seconds = {name: median(t.seconds for t in rounds) for name, rounds in timed.items()}
    return {
        "ratio": seconds[PEER] / seconds[FRESH],
        "ratio_initialised": seconds[PEER] / seconds[INITIALISED],
        "seconds_ours": seconds[FRESH],
        "seconds_ours_initialised": seconds[INITIALISED],
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
        FRESH: figures["seconds_ours"],
        INITIALISED: figures["seconds_ours_initialised"],
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
        f"(fresh against fresh), {figures['ratio_initialised']:.1f} times as long as ours with "
        f"initialised databases. Accuracy: ours {figures['accuracy_ours']:.4f}, tutorial "
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
    options = arguments.parse_args()
    figures = measure(options.rounds, stop_words_per_row=not options.stop_words_once)
    write_json(options.json, figures)
    show(figures)


if __name__ == "__main__":
    main()
