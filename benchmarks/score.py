"""Score: a whole collection from MongoDB back to MongoDB, against the model alone.

python -m benchmarks.score

25,000 IMDb reviews lie in the embedded MongoDB, a model that is fitted on them is in Production.
*In process* is `Predictor.probabilities` on a list of the same texts in memory, in batches of the
same size, with a predictor that has seen no word yet: nothing is read or written. *End to end* is
the task `score` from its first document read to its last prediction written (and acknowledged as on
disk). *Flow* adds what comes before: the flow's start in Prefect, fetching, verifying and
compiling the model.

`ratio` is the throughput end to end over that in process: 1 would be reading and writing for free.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.pipeline import Pipeline

from benchmarks.common import interleave, parser, read_reviews, write_json

IN_PROCESS, END_TO_END, FLOW = "in process", "end to end", "flow"
CANDIDATE = "bigrams-logistic"
_PROBLEM = "sentiment"
_BATCH = 1_000
_GOLDEN = 20


@contextmanager
def machine(scratch: Path) -> Iterator[None]:
    """Let this process use a data folder and problem files of its own."""
    from perennial.settings import PROJECT, get_settings

    os.environ |= {"DATA_DIR": str(scratch / "data"), "PROBLEMS_DIR": str(PROJECT / "problems")}
    os.environ["PREFECT_HOME"] = str(scratch / "prefect")
    get_settings.cache_clear()
    yield


def fill(texts: list[str]) -> None:
    """Put the reviews into the problem's collection."""
    from perennial.settings import get_settings
    from perennial.stores import mongodb

    now = datetime.now(UTC)
    with mongodb.connect(get_settings()) as client:
        collection = client["perennial"]["reviews"]
        for start in range(0, len(texts), _BATCH):
            collection.insert_many(
                [
                    {"_id": f"imdb-{start + number}", "text": text, "created_at": now}
                    for number, text in enumerate(texts[start : start + _BATCH])
                ],
                ordered=False,
            )


def put_into_production(model: Pipeline, texts: list[str]) -> None:
    """Register a model and make it Production."""
    from perennial.registry.artifact import Golden
    from perennial.registry.client import open_registry
    from perennial.settings import get_settings

    registry = open_registry(get_settings())
    inputs = texts[:: len(texts) // _GOLDEN][:_GOLDEN]
    golden = Golden(
        inputs=tuple(inputs),
        classes=tuple(model.classes_),
        probabilities=model.predict_proba(inputs).tolist(),
    )
    with registry.run(_PROBLEM, "fit") as run_id:
        version = registry.register(_PROBLEM, run_id, model, golden, tags={})
    registry.promote(version, expected=None)


def forget_scores() -> None:
    """Remove all predictions."""
    from perennial.settings import get_settings
    from perennial.stores import mongodb
    from tasks.scoring.collection import scores_name

    with mongodb.connect(get_settings()) as client:
        client["perennial"][scores_name("reviews", _PROBLEM)].drop()


def in_process(model: Pipeline, texts: list[str]) -> dict[str, float]:
    """Return the seconds of the model alone, with a predictor that is new."""
    from perennial.inference.predictor import build_predictor

    predictor = build_predictor(model, texts[:_GOLDEN])
    start = time.perf_counter()
    for begin in range(0, len(texts), _BATCH):
        predictor.probabilities(texts[begin : begin + _BATCH])
    return {IN_PROCESS: time.perf_counter() - start}


def end_to_end(count: int) -> dict[str, float]:
    """Run the flow on a collection without predictions; return its seconds and the task's."""
    from flows.score import score

    forget_scores()
    start = time.perf_counter()
    scored = score(_PROBLEM)
    seconds = time.perf_counter() - start
    if scored.classified != count:
        raise RuntimeError(f"{scored.classified} of {count} documents were classified")
    return {END_TO_END: scored.seconds, FLOW: seconds}


def measure(rounds: int, count: int | None) -> dict[str, Any]:
    """Run both ways and return what is written as JSON."""
    with TemporaryDirectory() as name, machine(Path(name)):
        texts = read_reviews()["text"].to_pylist()[:count]
        from benchmarks.scoring import fit
        from perennial.local import embedded
        from perennial.settings import get_settings

        model = fit(CANDIDATE)
        # Between the rounds the servers stay.
        with embedded.starting(get_settings(), "mongodb"), prefect_api():
            fill(texts)
            put_into_production(model, texts)
            ways: dict[str, Callable[[], dict[str, float]]] = {
                IN_PROCESS: lambda: in_process(model, texts),
                END_TO_END: lambda: end_to_end(len(texts)),
            }
            results = interleave(rounds, ways)
    return figures_of(results, len(texts))


@contextmanager
def prefect_api() -> Iterator[None]:
    """Keep one Prefect API running during the block."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from perennial.local import embedded
    from perennial.settings import get_settings

    with embedded.server(get_settings(), "prefect") as port:
        address = f"http://127.0.0.1:{port}/api"
        with temporary_settings({PREFECT_API_URL: address}):
            yield


def figures_of(results: dict[str, list[dict[str, float]]], count: int) -> dict[str, Any]:
    """Return the medians, and the ratios of neighbouring rounds."""
    alone = [figures[IN_PROCESS] for figures in results[IN_PROCESS]]
    whole = [figures[END_TO_END] for figures in results[END_TO_END]]
    flow = [figures[FLOW] for figures in results[END_TO_END]]
    ratios = np.divide(alone, whole)
    return {
        "ratio": float(np.median(ratios)),
        "ratio_flow": float(np.median(np.divide(alone, flow))),
        "ratio_rounds": ratios.tolist(),
        "documents": count,
        "documents_per_second": {
            IN_PROCESS: count / median(alone),
            END_TO_END: count / median(whole),
            FLOW: count / median(flow),
        },
        "rounds": len(alone),
    }


def show(figures: dict[str, Any]) -> None:
    """Print the throughputs beside each other."""
    table = Table(
        title=f"{figures['documents']:,} film reviews, median of {figures['rounds']} rounds",
        title_justify="left",
    )
    table.add_column("way")
    table.add_column("documents/s", justify="right")
    for way, rate in figures["documents_per_second"].items():
        table.add_row(way, f"{rate:,.0f}")
    Console().print(
        table,
        f"From MongoDB to MongoDB at [bold]{figures['ratio']:.0%}[/bold] of the model's own "
        f"throughput; {figures['ratio_flow']:.0%} with the flow's start.",
    )


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--documents", type=int, help="only so many reviews; default: all")
    options = arguments.parse_args()
    figures = measure(options.rounds, options.documents)
    write_json(options.json, figures)
    show(figures)


if __name__ == "__main__":
    main()
