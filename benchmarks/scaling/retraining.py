"""Whole retrainings of different sizes: time, processor time and memory of a process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.common import interleave, medians
from benchmarks.ours import Project, Retrained
from benchmarks.scaling.corpora import CORPORA, Corpus
from perennial.config.loader import load_problem
from perennial.settings import PROJECT
from perennial.stores import mongodb

PROBLEM = "sentiment"
SIZES = (5_000, 10_000, 25_000, 50_000, 100_000)
# Four times the documents may take this many times as long.
CLAIMED_TIME_RATIO = 4.4
# From the fewest to the most documents the memory beside the features may grow as many times.
CLAIMED_MEMORY_RATIO = 1.5
FROM, TO = 25_000, 100_000
WARM_UP = 2_000
MEGABYTE = 1_000_000
_BATCH = 1_000


class Sized:
    """The project with a MongoDB that holds a number of documents.

    Parameters
    ----------
    scratch : Path
        What sizes share.
    texts : str
        The name of the corpus.
    corpus : Corpus
        The corpus.
    count : int
        How many documents of it are there.
    """

    def __init__(self, scratch: Path, texts: str, corpus: Corpus, count: int) -> None:
        self.project = Project(scratch, f"data-{count}", _problems(scratch, texts))
        self._corpus, self._count = corpus, 0
        self.text_mb = self._insert(count) / MEGABYTE

    def retrain(self) -> Retrained:
        """Retrain with nothing there but the documents in MongoDB."""
        self.project.forget()
        return self.project.retrain(PROBLEM)

    def add(self, count: int) -> None:
        """Let more documents arrive."""
        self._insert(count)

    def _insert(self, count: int) -> int:
        """Insert the next documents without a flow, which is quicker; return their bytes."""
        settings, size, now = self.project.settings, 0, datetime.now(UTC)
        source = load_problem(settings.problem_file(PROBLEM)).source
        names, first = source.fields, self._count
        self._count += count
        some = islice(self._corpus.documents(self._count), first, None)
        numbered = enumerate(some, start=first + 1)
        with mongodb.connect(settings) as client:
            collection = client[source.database][source.collection]
            while batch := [*islice(numbered, _BATCH)]:
                size += sum(len(text.encode()) for _, (text, _) in batch)
                collection.insert_many(
                    [
                        {
                            "_id": f"review-{number}",
                            names.text: text,
                            names.label: label,
                            names.created_at: now,
                        }
                        for number, (text, label) in batch
                    ],
                    ordered=False,
                )
        self.project.wait_for_servers()
        return size


def _problems(scratch: Path, texts: str) -> Path:
    """Return the folder with the problem's file, which suits the corpus."""
    if texts != "short":
        return PROJECT / "problems"
    folder = scratch / "problems"
    if not folder.exists():
        shutil.copytree(PROJECT / "problems", folder)
        file = folder / f"{PROBLEM}.yaml"
        with file.open("a", encoding="utf-8") as end:
            end.write("\nsplit: {near_copies: ignore}\n")
    return folder


def measure(texts: str, sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    """Run every size in every round and return what is written as JSON."""
    corpus = CORPORA[texts].read()
    with TemporaryDirectory() as name:
        scratch = Path(name)
        Sized(scratch, texts, corpus, WARM_UP).retrain()
        sized = {str(size): Sized(scratch, texts, corpus, size) for size in sizes}
        measured = interleave(rounds, {name: some.retrain for name, some in sized.items()})
        figures = [
            {"documents": int(name), "text_mb": some.text_mb, **_figures(measured[name])}
            for name, some in sized.items()
        ]
    return {
        "rounds": rounds,
        "texts": texts,
        "sizes": figures,
        "exponents": exponents(figures),
        **ratios(figures),
    }


def _figures(rounds: Sequence[Retrained]) -> dict[str, Any]:
    """Return the medians over the rounds of one size."""
    return {
        "seconds": median(r.usage.seconds for r in rounds),
        "cpu": median(r.usage.cpu for r in rounds),
        "seconds_steps": median(sum(r.steps.values()) for r in rounds),
        "peak_mb": median(r.usage.peak_mb for r in rounds),
        "features_mb": median(r.features_mb for r in rounds),
        "steps": medians([r.steps for r in rounds]),
    }


def exponents(figures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return with which power of the documents time and memory grow, fitted to all sizes."""
    if len(figures) < 2:
        return {}
    documents = np.log([some["documents"] for some in figures])
    return {
        key: float(np.polyfit(documents, np.log([some[key] for some in figures]), 1)[0])
        for key in ("seconds", "cpu", "peak_mb", "features_mb")
    }


def ratios(figures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return how much everything grows from 25,000 to 100,000 documents, if both were measured."""
    by_size = {some["documents"]: some for some in figures}
    if not {FROM, TO} <= set(by_size):
        return {}
    few, many = by_size[FROM], by_size[TO]
    return {
        f"{name}_ratio_25k_100k": many[key] / few[key]
        for name, key in (
            ("time", "seconds"),
            ("steps_time", "seconds_steps"),
            ("memory", "peak_mb"),
            ("data", "text_mb"),
        )
    }


def show(figures: Mapping[str, Any]) -> None:
    """Print the figures of every size, and what is claimed of them."""
    table = Table(
        title=f"Retraining {PROBLEM}, median of {figures['rounds']} rounds", title_justify="left"
    )
    for name in (
        "documents",
        "text, MB",
        "process, s",
        "CPU, s",
        "steps, s",
        "memory, MB",
        "features, MB",
    ):
        table.add_column(name, justify="right")
    for some in figures["sizes"]:
        table.add_row(
            f"{some['documents']:,}",
            f"{some['text_mb']:.1f}",
            f"{some['seconds']:.1f}",
            f"{some['cpu']:.1f}",
            f"{some['seconds_steps']:.1f}",
            f"{some['peak_mb']:.0f}",
            f"{some['features_mb']:.1f}",
        )
    console = Console()
    console.print(table)
    for line in _claims(figures):
        console.print(line)


def _claims(figures: Mapping[str, Any]) -> Iterator[str]:
    """Say how everything grows, what is claimed of that, and whether it holds."""
    sizes, found = figures["sizes"], figures["exponents"]
    if found:
        yield (
            f"They grow with the documents to the power of: process {found['seconds']:.2f}, CPU "
            f"{found['cpu']:.2f}, memory {found['peak_mb']:.2f}, features "
            f"{found['features_mb']:.2f}"
        )
        few, many = (each["peak_mb"] - each["features_mb"] for each in (sizes[0], sizes[-1]))
        ratio = many / few
        yield (
            f"From {sizes[0]['documents']:,} to {sizes[-1]['documents']:,} documents the memory "
            f"without the features grows {ratio:.2f} times, from {few:.0f} to {many:.0f} MB "
            f"(claimed: at most {CLAIMED_MEMORY_RATIO}): {holds(ratio <= CLAIMED_MEMORY_RATIO)}"
        )
    if "time_ratio_25k_100k" not in figures:
        return
    time, steps, memory, data = (
        figures[f"{name}_ratio_25k_100k"] for name in ("time", "steps_time", "memory", "data")
    )
    yield (
        f"Four times the documents take {time:.2f} times as long, their steps {steps:.2f} times "
        f"(claimed: at most {CLAIMED_TIME_RATIO}): {holds(max(time, steps) <= CLAIMED_TIME_RATIO)}"
    )
    yield (
        f"Memory grows {memory:.2f} times, the text {data:.2f} times (claimed: memory grows less): "
        f"{holds(memory < data)}"
    )


def holds(claim: bool) -> str:
    """Say whether a claim holds."""
    return "holds" if claim else "DOES NOT HOLD"


def plot(figures: Mapping[str, Any], path: Path) -> None:
    """Draw time and memory over the number of documents, both axes logarithmic."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    sizes = figures["sizes"]
    documents = [some["documents"] for some in sizes]
    figure = Figure(figsize=(10, 4.4), dpi=110, layout="constrained", facecolor="white")
    panels = {
        "time, s": {"process": "seconds", "steps of the flow": "seconds_steps"},
        "size, MB": {"memory of the process": "peak_mb", "text of the documents": "text_mb"},
    }
    for axes, (unit, curves) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for name, key in curves.items():
            axes.plot(documents, [some[key] for some in sizes], marker="o", label=name)
        axes.set(xscale="log", yscale="log", xlabel="documents", ylabel=unit)
        lowest = min(sizes[0][key] for key in curves.values())
        proportional = [lowest * count / documents[0] for count in documents]
        axes.plot(documents, proportional, ":", color="gray", label="proportional to documents")
        axes.set_xticks(documents, [f"{count:,}" for count in documents])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(f"Retraining {PROBLEM}: from MongoDB to the verdict, one process")
    figure.savefig(path)
