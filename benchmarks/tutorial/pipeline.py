"""Run the stages in order, each as a process of its own, and time them."""

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.tutorial.candidates import PREPARATIONS, candidates, feature_sets
from benchmarks.tutorial.files import parser
from benchmarks.tutorial.nltk_data import ensure_nltk_data

ROOT = Path(__file__).resolve().parents[2]
NO_TELEMETRY = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}


def stages(csv: Path, names: Sequence[str], *, stop_words_per_row: bool) -> Iterator[list[str]]:
    """Yield the command of each stage, its name first, for some of the candidates."""
    features = [f for f in feature_sets() if f in {candidates()[n].features for n in names}]
    preparations = {feature_sets()[f].preparation for f in features}
    yield ["ingest", "--csv", str(csv.resolve())]
    for preparation in (p for p in PREPARATIONS if p in preparations):
        yield ["clean", preparation, *([] if stop_words_per_row else ["--stop-words-once"])]
    yield from (["features", name] for name in features)
    yield from (["train", name] for name in names)
    yield ["select", *names]
    yield ["evaluate"]
    yield ["register"]


def run(
    csv: Path,
    work: Path,
    names: Sequence[str] = (),
    *,
    stop_words_per_row: bool = True,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Run the pipeline on `csv` in `work` and return the seconds of its stages.

    What the stages print goes to `work/logs`. A second run in the same folder adds runs and a
    model version to its MLflow store.

    Parameters
    ----------
    csv
        Columns `text` and `label` (0 or 1).
    names
        The candidates; all unless given.
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
    work = work.resolve()
    (work / "logs").mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = defaultdict(float)
    for command in stages(csv, names or list(candidates()), stop_words_per_row=stop_words_per_row):
        seconds[command[0]] += _run_stage(command, work, python, environment)
    return dict(seconds)


def _run_stage(stage: list[str], work: Path, python: str, env: Mapping[str, str]) -> float:
    """Run one stage and return the seconds that it took, start of its process included."""
    name, *options = stage
    command = [python, "-m", f"{__package__}.{name}", "--work", str(work), *options]
    log = work / "logs" / f"{name}.log"
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


def table(seconds: Mapping[str, float]) -> Table:
    """Return the seconds per stage, with their total."""
    result = Table("stage", show_footer=True)
    result.columns[0].footer = "total"
    result.add_column("seconds", f"{sum(seconds.values()):.2f}", justify="right")
    for stage, value in seconds.items():
        result.add_row(stage, f"{value:.2f}")
    return result


def main() -> None:
    """Run the pipeline and print its times."""
    arguments = parser(__doc__)
    arguments.add_argument("--csv", type=Path, required=True, help="columns text, label (0 or 1)")
    arguments.add_argument("--stop-words-once", action="store_true", help="not once per row")
    arguments.add_argument("candidates", nargs="*", help="default: all")
    options = arguments.parse_args()
    seconds = run(
        options.csv,
        options.work,
        options.candidates,
        stop_words_per_row=not options.stop_words_once,
    )
    Console().print(table(seconds))


if __name__ == "__main__":
    main()
