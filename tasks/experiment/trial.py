"""Try settings of a candidate in another process, which can be stopped in the middle of a fit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Timer
from typing import Literal

from perennial.engine.workers import for_workers
from perennial.local.python import python_environment
from perennial.settings import get_settings
from perennial.training.cross_validation import SettingResult
from tasks.experiment.process import Asked, Process, idle_or_new, keep
from tasks.experiment.workspace import Bench

Outcome = Literal["complete", "out of time", "not reached", "failed"]

# As many candidates are tried at once as there are processors; each has one to itself.
_ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
# Less is not even enough to start a process.
_LEAST_SECONDS = 1.0


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
        After the time, counted from the start of the trial; what it was fitting is lost.
    TrialError
        If the process fails.
    """
    environment = {**python_environment(get_settings()), **_ONE_THREAD}
    while True:
        try:
            yield from _results(idle_or_new(environment), trial, seconds)
        except _IdleEndError:
            # It has ended because it had waited for long, just when it was asked.
            continue
        return


class _IdleEndError(Exception):
    """A process has ended without having begun what it was asked for."""


@contextmanager
def _stopped_after(seconds: float, process: Process) -> Iterator[Event]:
    """Kill a process that is not done after a time; yield what tells whether it was killed."""
    over = Event()

    def stop() -> None:
        over.set()
        process.kill()

    timer = Timer(seconds, stop)
    timer.start()
    try:
        yield over
    finally:
        timer.cancel()


def _results(process: Process, trial: Trial, seconds: float) -> Iterator[SettingResult]:
    begun, count, is_complete = len(process.said()), 0, False
    asked = Asked(trial.bench.folder, trial.name, trial.first, trial.last)
    try:
        with _stopped_after(seconds, process) as over:
            for found in process.ask(asked):
                if found is None:
                    is_complete = True
                else:
                    count += 1
                    yield found
    finally:
        if is_complete and not over.is_set():
            keep(process)
        else:
            said, status = process.said()[begun:], process.end()
    if not is_complete:
        raise _why(said, status, over, is_begun=count > 0)


def _why(said: list[str], status: int, over: Event, *, is_begun: bool) -> Exception:
    """Return why a trial was not completed."""
    if over.is_set():
        return OutOfTimeError()
    if status == 0 and not is_begun:
        return _IdleEndError()
    # The last line that is not indented says what was raised; others only explain it.
    lines = [line for line in said if line[:1].strip()]
    return TrialError(lines[-1] if lines else f"its process ended with {status}")
