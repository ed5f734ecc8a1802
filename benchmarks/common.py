"""What the benchmarks share: their options, rounds, film reviews, and measuring a process."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import pyarrow as pa

from perennial.settings import PROJECT

T = TypeVar("T")

# Variables of these libraries would make one reader's figures differ from another's.
_PREFIXES = (
    *("AWS_", "DAGSHUB_", "DATA_", "MLFLOW_", "MONGODB_", "PREFECT_", "PROBLEMS_"),
    *("MKL_", "OMP_", "OPENBLAS_"),
)
# Characters of the output of a process that failed.
_SHOWN = 2_000


@dataclass(frozen=True)
class Usage:
    """What one process took: wall time, its largest resident memory, and time of processors."""

    seconds: float
    peak_mb: float
    cpu: float = 0.0


def parser(description: str | None, rounds: int = 3) -> argparse.ArgumentParser:
    """Return a parser that knows the options of every benchmark."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    result.add_argument("--rounds", type=int, default=rounds, help="default: %(default)s")
    return result


def interleave(rounds: int, ways: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Call each way once per round, one after the other, so that noise meets all of them alike."""
    results: dict[str, list[T]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            results[name].append(way())
    return results


def medians(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each figure over the rounds."""
    return {name: median(figures[name] for figures in measured) for name in measured[0]}


def write_json(path: Path | None, figures: Mapping[str, object]) -> None:
    """Write the figures, where a file was asked for."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def read_reviews() -> pa.Table:
    """Return the 25,000 IMDb reviews: columns text, label (0 or 1) and source."""
    from tasks.data.seed import read_file, reviews_file

    return read_file(reviews_file(), text="text", label="label", source="imdb")


def clean_environment(scratch: Path) -> dict[str, str]:
    """Return an environment in which only defaults hold and compiled modules are kept.

    Without byte code, which some machines suppress, a process would compile every library first.
    It is kept in the scratch folder: one process of a kind has to come before the measured ones.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_PREFIXES)}
    return {
        **kept,
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(scratch / "bytecode"),
        "MPLCONFIGDIR": str(scratch / "matplotlib"),
    }


def run_module(arguments: Sequence[str], env: Mapping[str, str], log: Path) -> Usage:
    """Run `python -m` with these arguments to its end and measure it.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails; its note is the end of what it printed.
    """
    command = [sys.executable, "-m", *arguments]
    with log.open("w") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=PROJECT, env=env, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    # Without this Popen would wait for a process that is gone.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        error = subprocess.CalledProcessError(process.returncode, command)
        error.add_note(log.read_text(encoding="utf-8", errors="replace")[-_SHOWN:])
        raise error
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Usage(seconds, kilobytes / 1024, usage.ru_utime + usage.ru_stime)
