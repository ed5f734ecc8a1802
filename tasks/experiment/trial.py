"""Try one candidate in a process of its own, which can be stopped in the middle of a fit.

python -m tasks.experiment.trial FOLDER CANDIDATE FIRST LAST

It prints one line of JSON per setting, `SettingResult`, as soon as it is known, and ends when
nobody has its input open any more: with the process that has started it, however that ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Literal

from pydantic import TypeAdapter

from perennial.engine.workers import for_workers
from perennial.local.python import python_environment
from perennial.settings import get_settings
from perennial.training.cross_validation import ALL, CrossValidation, SettingResult
from tasks.experiment.workspace import Bench

Outcome = Literal["complete", "out of time", "not reached", "failed"]

# As many candidates are tried at once as there are processors; each has one to itself.
_ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
_LINE = TypeAdapter(SettingResult)
# Less is not even enough to start a process.
_LEAST_SECONDS = 1.0
_INPUT = 0


class OutOfTimeError(Exception):
    """A candidate was stopped since its time was over."""


class TrialError(Exception):
    """A candidate failed; the message is the last line of what its process said."""


@dataclass(frozen=True)
class Trial:
    """Some settings of a candidate that are to be tried, on this machine or on another one.

    Attributes
    ----------
    bench : Bench
        The training documents.
    name : str
        The candidate.
    first, last : int or None
        Which of its settings: from the first one to before the last one; None for all of them.
    seconds : float
        Time that they have.
    until : float
        When the time of the whole experiment is over, by `time.time`.
    """

    bench: Bench
    name: str
    first: int | None
    last: int | None
    seconds: float
    until: float


@dataclass(frozen=True)
class Tried:
    """What became of a trial.

    Attributes
    ----------
    found : tuple of SettingResult
        The settings that were tried.
    outcome : {"complete", "out of time", "not reached", "failed"}
        Whether all were tried.
    reason : str
        Why not, in a few words; empty when they were.
    """

    found: tuple[SettingResult, ...]
    outcome: Outcome
    reason: str


@for_workers
def attempt(trial: Trial) -> Tried:
    """Try settings of a candidate until all are tried, or their time is over."""
    seconds = min(trial.seconds, trial.until - time.time())
    if seconds < _LEAST_SECONDS:
        return Tried((), "not reached", "the experiment's time was over before it began")
    found: list[SettingResult] = []
    outcome: Outcome = "complete"
    reason = ""
    try:
        for each in tried(trial, seconds):
            found.append(each)  # noqa: PERF402 - what was found before a failure stays
    except OutOfTimeError:
        outcome, reason = "out of time", f"stopped after {seconds:.0f} s"
    except TrialError as error:
        outcome, reason = "failed", str(error)
    return Tried(tuple(found), outcome, reason)


def tried(trial: Trial, seconds: float) -> Iterator[SettingResult]:
    """Yield settings of a candidate as they are tried, for so many seconds at most.

    Raises
    ------
    OutOfTimeError
        After the time, counted from the start of the process; what it was fitting is lost.
    TrialError
        If the process fails.
    """
    over = Event()
    arguments = [str(each) for each in (trial.name, trial.first, trial.last)]
    log = trial.bench.folder / f"{'-'.join(arguments)}.log"
    with log.open("w+b") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(trial.bench.folder), *arguments],
            env={**python_environment(get_settings()), **_ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )

        def stop() -> None:
            over.set()
            process.kill()

        timer = Timer(seconds, stop)
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                # A line that the end cut short has no line break.
                if line.endswith(b"\n"):
                    yield _LINE.validate_json(line)
            failed = process.wait() != 0
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
    if failed and over.is_set():
        raise OutOfTimeError
    if failed:
        # The last line that is not indented says what was raised; others only explain it.
        said = [line for line in log.read_text(errors="replace").splitlines() if line[:1].strip()]
        raise TrialError(said[-1] if said else f"its process ended with {process.returncode}")


def _main(folder: str, name: str, first: str, last: str) -> None:
    Thread(target=_end_with_input, daemon=True).start()
    bench = Bench(Path(folder))
    validation = CrossValidation(
        bench.problem(), name, bench.counts(name), bench.labels(), bench.folds()
    )
    for found in validation.results(_part(first, last)):
        sys.stdout.buffer.write(_LINE.dump_json(found) + b"\n")
        sys.stdout.flush()


def _part(first: str, last: str) -> slice:
    return ALL if "None" in {first, last} else slice(int(first), int(last))


def _end_with_input() -> None:
    """End this process when the one that has started it is gone, and nobody wants the result."""
    while os.read(_INPUT, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    _main(*sys.argv[1:])
