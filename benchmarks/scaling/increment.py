"""A second retraining after some documents more: whether its work follows what is new."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prefect.logging import disable_run_logger
from rich.console import Console
from rich.table import Table

from benchmarks.common import run_module
from benchmarks.ours import Retrained
from benchmarks.scaling.corpora import CORPORA
from benchmarks.scaling.retraining import PROBLEM, WARM_UP, Sized, holds
from perennial.config.loader import load_problem
from perennial.settings import get_settings
from perennial.stores.snapshots.kept_counts import COUNTS, KeptCounts
from perennial.stores.snapshots.store import SnapshotStore
from tasks.data.features import count_shared

INCREMENTED = (25_000, 100_000)
ADDED = 1_000
# Of the first time.
CLAIMED_COUNTING, CLAIMED_OTHERS = 0.1, 0.25


def measure_increment(texts: str, sizes: Sequence[int]) -> dict[str, Any]:
    """Retrain each size twice, the second time with more documents."""
    corpus = CORPORA[texts].read()
    with TemporaryDirectory() as name:
        scratch = Path(name)
        Sized(scratch, texts, corpus, WARM_UP).retrain()
        figures = [_increment(Sized(scratch, texts, corpus, size), size) for size in sizes]
    return {"texts": texts, "added": ADDED, "increment": figures}


def _increment(sized: Sized, size: int) -> dict[str, Any]:
    first = sized.retrain()
    sized.add(ADDED)
    second = sized.project.retrain(PROBLEM)
    shutil.rmtree(sized.project.data / "snapshots" / PROBLEM / COUNTS, ignore_errors=True)
    log = sized.project.data / "count.log"
    counting = []
    for version in (0, 1):
        arguments = ["benchmarks.scaling", "--count", str(version)]
        run_module(arguments, sized.project.environment, log)
        counting.append(json.loads(log.read_text(encoding="utf-8").splitlines()[-1])["cpu"])
    return {
        "documents": size,
        "cpu": [first.usage.cpu, second.usage.cpu],
        "cpu_beside_fits": [_beside_fits(first), _beside_fits(second)],
        "cpu_counting": counting,
        "peak_mb": [first.usage.peak_mb, second.usage.peak_mb],
        "steps": [dict(first.steps), dict(second.steps)],
        "cpu_steps": [dict(first.processor), dict(second.processor)],
    }


def _beside_fits(retrained: Retrained) -> float:
    """Return the processor time without that of the step in which models are fitted."""
    return retrained.usage.cpu - retrained.processor["train"]


def count_here(version: int) -> None:
    """Prepare and count a snapshot in this process, and print the processor time of it as JSON."""
    settings = get_settings()
    problem = load_problem(settings.problem_file(PROBLEM)).for_retraining()
    store = SnapshotStore(problem.name, settings)
    rows = store.read(store.find(version))
    texts, digests = (rows[name].combine_chunks() for name in ("text", "digest"))
    start = time.process_time()
    with disable_run_logger():
        count_shared(problem, texts, digests, KeptCounts(store, settings))
    print(json.dumps({"cpu": time.process_time() - start}))


def show_increment(figures: Mapping[str, Any]) -> None:
    """Print what the first and the second time took, and what is claimed of it."""
    title = f"Retraining {PROBLEM}, and again with {figures['added']:,} documents more"
    table = Table(title=title, title_justify="left")
    for name in ("documents", "CPU, s", "beside fits", "prepare and count", "memory, MB"):
        table.add_column(name, justify="right")
    for some in figures["increment"]:
        pairs = (some["cpu"], some["cpu_beside_fits"], some["cpu_counting"])
        shown = [" -> ".join(f"{each:.2f}" for each in pair) for pair in pairs]
        memory = " -> ".join(f"{each:.0f}" for each in some["peak_mb"])
        table.add_row(f"{some['documents']:,}", *shown, memory)
    most = figures["increment"][-1]
    console = Console()
    console.print(table)
    for what, key, claimed in (
        ("Preparing and counting", "cpu_counting", CLAIMED_COUNTING),
        ("All but the fits", "cpu_beside_fits", CLAIMED_OTHERS),
    ):
        ratio = most[key][1] / most[key][0]
        console.print(
            f"{what} of {most['documents']:,} documents and {figures['added']:,} more takes "
            f"{ratio:.2f} times the first time (claimed: at most {claimed}): "
            f"{holds(ratio <= claimed)}"
        )
