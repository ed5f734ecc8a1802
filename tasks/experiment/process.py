"""The process in which candidates are tried, and by what it is asked.

python -m tasks.experiment.process

It reads trials, `Asked` as one line of JSON each. Of each it prints one line of JSON per setting,
`SettingResult`, as soon as it is known, and an empty line at the end. To start takes it seconds, so
that it waits some more for the next trial. It ends when nobody has its input open any more: with
the process that has started it, however that ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryFile
from threading import Thread

from pydantic import TypeAdapter

from perennial.training.cross_validation import CrossValidation, SettingResult
from tasks.experiment.workspace import Bench

_LINE = TypeAdapter(SettingResult)
# How long a process waits for the next trial.
_IDLE_SECONDS = 5.0
_INPUT = 0
_END = b"\n"


@dataclass(frozen=True)
class Asked:
    """What a process is asked for; see `tasks.experiment.trial.Trial`."""

    folder: Path
    name: str
    first: int | None
    last: int | None


_ASKED = TypeAdapter(Asked)


class Process:
    """A process that makes trials, one after the other.

    Parameters
    ----------
    environment : mapping of str to str
        Its environment variables.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        # To append: whoever reads it, the process goes on at its end.
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
_IDLE: deque[Process] = deque()


def keep(process: Process) -> None:
    """Let the next trial use a process."""
    _IDLE.append(process)


def idle_or_new(environment: Mapping[str, str]) -> Process:
    """Return a process with this environment that nobody uses."""
    while True:
        try:
            found = _IDLE.pop()
        except IndexError:
            return Process(environment)
        if found.environment == environment and found.is_running:
            return found
        found.end()


def end_idle() -> None:
    """End the processes that wait for another trial: what comes next may need their memory."""
    with suppress(IndexError):
        while True:
            _IDLE.pop().end()


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
