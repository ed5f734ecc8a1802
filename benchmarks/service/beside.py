"""The service beside that of an earlier commit, under load on this machine.

python -m benchmarks.service.beside COMMIT

Both serve the same model of the 25,000 IMDb reviews with two workers, in this environment, and
answer the same short reviews at 16 connections in turns, whichever is first in one round second in
the next. `ratio` is the median of our requests per second over the median of theirs, `p99` of the
p99 latencies; `ratio_paired` and `p99_paired` are the medians of the ratios within a round, which
say more where the machine has other work.

With `--set NAME=VALUE` only ours gets a setting: beside HEAD that is what it costs, such as
`SERVING_ACCESS_LOG=true`, or `OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318` with a collector.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from pathlib import Path
from statistics import median
from tarfile import TarFile
from tempfile import TemporaryDirectory

from rich.console import Console

from benchmarks.common import parser, read_reviews, write_json
from benchmarks.retrain import Ours, write_documents
from benchmarks.service.in_process import SNIPPETS, read_texts
from benchmarks.service.load import Measured, load, require_wrk, write_bodies
from benchmarks.service.servers import running
from benchmarks.serving import CANDIDATE, SOME, WARM_UP_SECONDS, our_command, serving_environment
from perennial.settings import PROJECT

NOW, THEN = "now", "then"
ROUNDS, SECONDS = 15, 3.0
REQUESTS = 1_000


def check_out(commit: str, folder: Path) -> Path:
    """Return a folder with the files of a commit.

    Raises
    ------
    subprocess.CalledProcessError
        If there is no such commit.
    """
    done = subprocess.run(
        ["git", "archive", "--format=tar", commit], cwd=PROJECT, check=True, capture_output=True
    )
    with TarFile(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def measure(
    commit: str, settings: Mapping[str, str], rounds: int, seconds: float
) -> dict[str, float]:
    """Load both services in turns; return the figures."""
    require_wrk()
    with TemporaryDirectory() as name, ExitStack() as stack:
        scratch = Path(name)
        folders = {THEN: check_out(commit, scratch / "then"), NOW: PROJECT}
        ours = Ours(scratch, "ours", write_documents(scratch / "r.csv", read_reviews()), CANDIDATE)
        ours.fresh()
        environment = stack.enter_context(serving_environment(ours.project))
        texts = read_texts()[SNIPPETS][:REQUESTS]
        bodies = write_bodies(scratch / "bodies.jsonl", [{"inputs": [text]} for text in texts])
        ways: dict[str, Callable[[float], Measured]] = {}
        for which, folder in folders.items():
            command = partial(_command, folder)
            variables = {**environment, **(settings if which == NOW else {})}
            started = running(command, variables, scratch / f"{which}.log", "/readyz")
            url = f"{stack.enter_context(started).url}/classify"
            ways[which] = partial(_load, url, bodies)
            ways[which](WARM_UP_SECONDS)
        found = _alternate(ways, rounds, seconds)
    return figures_of(found)


def _command(folder: Path, port: int) -> Sequence[str]:
    """Return how the service of a folder is started, wherever the process is."""
    program = "import os, sys; os.chdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"
    return [sys.executable, "-c", program, str(folder), *our_command(port)]


def _load(url: str, bodies: Path, seconds: float) -> Measured:
    return load(url, bodies, connections=SOME, seconds=seconds)


def _alternate(
    ways: Mapping[str, Callable[[float], Measured]], rounds: int, seconds: float
) -> dict[str, list[Measured]]:
    """Load each service once per round, in an order that changes."""
    found: dict[str, list[Measured]] = {which: [] for which in ways}
    for number in range(rounds):
        for which in list(ways)[:: -1 if number % 2 else 1]:
            found[which].append(ways[which](seconds))
    return found


def figures_of(found: Mapping[str, Sequence[Measured]]) -> dict[str, float]:
    """Return the medians of both services, and ours over theirs."""
    rate = {which: median(each.per_second for each in rounds) for which, rounds in found.items()}
    tail = {which: median(each.p99 for each in rounds) for which, rounds in found.items()}
    pairs = list(zip(found[NOW], found[THEN], strict=True))
    return {
        "ratio": rate[NOW] / rate[THEN],
        "ratio_paired": median(now.per_second / then.per_second for now, then in pairs),
        "p99": tail[NOW] / tail[THEN],
        "p99_paired": median(now.p99 / then.p99 for now, then in pairs),
        **{f"per_second_{which}": number for which, number in rate.items()},
        **{f"p99_ms_{which}": number for which, number in tail.items()},
        "rounds": len(pairs),
    }


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__, ROUNDS)
    arguments.add_argument("commit", metavar="COMMIT", help="what is measured beside these files")
    arguments.add_argument(
        "--seconds", type=float, default=SECONDS, help="of each load; default: %(default)s"
    )
    arguments.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of ours only"
    )
    options = arguments.parse_args()
    settings = dict(each.split("=", 1) for each in options.set)
    figures = measure(options.commit, settings, options.rounds, options.seconds)
    write_json(options.json, figures)
    Console().print(
        f"At {SOME} connections [bold]{figures['ratio']:.3f}[/bold] times as many requests per "
        f"second as {options.commit} ({figures['per_second_now']:,.0f} and "
        f"{figures['per_second_then']:,.0f}; {figures['ratio_paired']:.3f} within a round), p99 "
        f"[bold]{figures['p99']:.2f}[/bold] of its ({figures['p99_ms_now']:.1f} and "
        f"{figures['p99_ms_then']:.1f} ms; {figures['p99_paired']:.2f}); medians of "
        f"{figures['rounds']:.0f} rounds."
    )


if __name__ == "__main__":
    main()
