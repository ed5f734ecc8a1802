"""Run the six stages in order, each as a process of its own, and time them."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.tutorial.files import parser
from benchmarks.tutorial.nltk_data import ensure_nltk_data

ROOT = Path(__file__).resolve().parents[2]
NO_TELEMETRY = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}


@dataclass(frozen=True)
class StageTimes:
    """Seconds that each stage took, start of its process included, in the order they ran."""

    ingest: float
    clean: float
    features: float
    train: float
    evaluate: float
    register: float

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.by_stage().values())

    def by_stage(self) -> dict[str, float]:
        """Return the seconds by name of the stage."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def run(
    csv: Path,
    work: Path,
    *,
    stop_words_per_row: bool = True,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
) -> StageTimes:
    """Run the pipeline on `csv` in `work`.

    What the stages print goes to `work/logs`. A second run in the same folder adds a run and a
    model version to its MLflow store.

    Parameters
    ----------
    csv
        Columns `text` and `label` (0 or 1).
    stop_words_per_row
        Whether `clean` reads the stop words for every row, or once.
    env
        Added to the environment of the stages. Without `NLTK_DATA` in it, the corpora are made
        ready before the first stage starts.

    Raises
    ------
    subprocess.CalledProcessError
        When a stage fails; its note names the log.
    """
    environment = {**os.environ, **NO_TELEMETRY, **(env or {})}
    if "NLTK_DATA" not in environment:
        # Tutorials download the corpora once, before any run: not part of the time.
        environment["NLTK_DATA"] = str(ensure_nltk_data().resolve())
    options: dict[str, list[str]] = {
        "ingest": ["--csv", str(csv.resolve())],
        "clean": [] if stop_words_per_row else ["--stop-words-once"],
    }
    work = work.resolve()
    (work / "logs").mkdir(parents=True, exist_ok=True)
    seconds = {
        stage.name: _run_stage(stage.name, work, options.get(stage.name, []), python, environment)
        for stage in fields(StageTimes)
    }
    return StageTimes(**seconds)


def _run_stage(
    stage: str, work: Path, options: list[str], python: str, env: Mapping[str, str]
) -> float:
    """Run one stage and return the seconds that it took."""
    command = [python, "-m", f"{__package__}.{stage}", "--work", str(work), *options]
    log = work / "logs" / f"{stage}.log"
    with log.open("w") as output:
        start = time.perf_counter()
        try:
            subprocess.run(
                command, check=True, cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT
            )
        except subprocess.CalledProcessError as error:
            error.add_note(f"see {log}")
            raise
        return time.perf_counter() - start


def table(times: StageTimes) -> Table:
    """Return the seconds per stage, with their total."""
    result = Table("stage", show_footer=True)
    result.columns[0].footer = "total"
    result.add_column("seconds", f"{times.total:.2f}", justify="right")
    for stage, seconds in times.by_stage().items():
        result.add_row(stage, f"{seconds:.2f}")
    return result


def main() -> None:
    """Run the pipeline and print its times."""
    arguments = parser(__doc__)
    arguments.add_argument("--csv", type=Path, required=True, help="columns text, label (0 or 1)")
    arguments.add_argument("--stop-words-once", action="store_true", help="not once per row")
    options = arguments.parse_args()
    times = run(options.csv, options.work, stop_words_per_row=not options.stop_words_once)
    Console().print(table(times))


if __name__ == "__main__":
    main()
