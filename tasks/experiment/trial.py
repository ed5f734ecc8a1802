"""Try a candidate in a process of its own, which can be stopped in the middle of a fit.

python -m tasks.experiment.trial

It reads trials, `Asked` as one line of JSON each. Of each it prints one line of JSON per setting,
`SettingResult`, as soon as it is known, and an empty line at the end. To start takes it seconds, so
that it waits some more for the next trial. It ends when nobody has its input open any more: with
the process that has started it, however that ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryFile
from threading import Event, Thread, Timer
from typing import Literal

from pydantic import TypeAdapter

from perennial.engine.workers import for_workers
from perennial.local.python import python_environment
from perennial.settings import get_settings
from perennial.training.cross_validation import CrossValidation, SettingResult
from tasks.experiment.workspace import Bench

Outcome = Literal["complete", "out of time", "not reached", "failed"]

# As many candidates are tried at once as there are processors; each has one to itself.
_ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
_LINE = TypeAdapter(SettingResult)
# Less is not even enough to start a process.
_LEAST_SECONDS = 1.0
# How long a process waits for the next trial.
_IDLE_SECONDS = 5.0
_INPUT = 0
_END = b"\n"


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


@dataclass(frozen=True)
class Asked:
    """What the process of a trial is asked for; see `Trial`."""

    folder: Path
    name: str
    first: int | None
    last: int | None


_ASKED = TypeAdapter(Asked)


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
            yield from _results(_idle_or_new(environment), trial, seconds)
        except _IdleEndError:
            # It has ended because it had waited for long, just when it was asked.
            continue
        return


class _IdleEndError(Exception):
    """A process has ended without having begun what it was asked for."""


class _Process:
    """A process that makes trials, one after the other.

    Parameters
    ----------
    environment : mapping of str to str
        Its environment variables.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        # Whatever reads it, the process writes at its end.
        self._errors = TemporaryFile("a+b")  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ask(self, asked: Asked) -> Iterator[SettingResult | None]:
        """Yield what comes of the settings of a trial, and None when it is complete.

        Where it ends before, so does the process.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # One that has ended prints nothing.
        with suppress(BrokenPipeError):
            self._process.stdin.write(_ASKED.dump_json(asked) + b"\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            if line == _END:
                yield None
                return
            # A line that the end cut short has no line break.
            if line.endswith(b"\n"):
                yield _LINE.validate_json(line)

    def said(self) -> list[str]:
        """Return the lines of errors and warnings that it has written so far."""
        size = os.fstat(self._errors.fileno()).st_size
        written = os.pread(self._errors.fileno(), size, 0)
        return written.decode(errors="replace").splitlines()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def end(self) -> int:
        """End it and close what belongs to it; return its exit status."""
        self._process.kill()
        status = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._errors.close()
        return status


# Those that nobody uses.
_IDLE: deque[_Process] = deque()


def _idle_or_new(environment: Mapping[str, str]) -> _Process:
    """Return a process with this environment that nobody uses."""
    while True:
        try:
            found = _IDLE.pop()
        except IndexError:
            return _Process(environment)
        if found.environment == environment and found.is_running:
            return found
        found.end()


def end_idle() -> None:
    """End the processes that wait for another trial: what comes next may need their memory."""
    with suppress(IndexError):
        while True:
            _IDLE.pop().end()


@contextmanager
def _stopped_after(seconds: float, process: _Process) -> Iterator[Event]:
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


def _results(process: _Process, trial: Trial, seconds: float) -> Iterator[SettingResult]:
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
            _IDLE.append(process)
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


def _main() -> None:
    asked: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_read, args=[asked], daemon=True).start()
    while True:
        try:
            line = asked.get(timeout=_IDLE_SECONDS)
        except Empty:
            # Not in Python's own way, as the other thread reads on.
            os._exit(0)
        for found in _made(_ASKED.validate_json(line)):
            sys.stdout.buffer.write(_LINE.dump_json(found) + b"\n")
            sys.stdout.flush()
        sys.stdout.buffer.write(_END)
        sys.stdout.flush()


def _made(asked: Asked) -> Iterator[SettingResult]:
    yield from _validation(asked.folder, asked.name).results(slice(asked.first, asked.last))


# Trials of one candidate mostly follow each other: features of its folds are made once.
@lru_cache(maxsize=1)
def _validation(folder: Path, name: str) -> CrossValidation:
    bench = Bench(folder)
    return CrossValidation(bench.problem(), name, bench.counts(name), bench.labels(), bench.folds())


def _read(asked: SimpleQueue[bytes]) -> None:
    """Read what is asked; end this process when nobody is there who wants the result."""
    with open(_INPUT, "rb", buffering=0, closefd=False) as lines:
        for line in lines:
            asked.put(line)
    os._exit(1)


if __name__ == "__main__":
    _main()
