"""Programs of which a cluster is made; what starts last ends first."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from perennial.errors import OutsideError

_STOP_SECONDS = 15.0


@dataclass(frozen=True)
class Server:
    """A program that runs.

    Attributes
    ----------
    program : str
        Its name.
    process : Popen
        Its process.
    log : Path
        What it writes.
    """

    program: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        """Return the end of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines() or ["nothing"]
        return lines[-1]

    def wait_until(self, works: Callable[[], str], seconds: float) -> None:
        """Wait until it works.

        Parameters
        ----------
        works : callable
            Returns why it does not, or nothing.
        seconds : float
            The most that it may take.

        Raises
        ------
        OutsideError
            If it ends, or does not work in time.
        """
        deadline = time.monotonic() + seconds
        while reason := works():
            if self.process.poll() is not None:
                raise OutsideError(f"{self.program} has ended: {self.last_words()}")
            if time.monotonic() > deadline:
                raise OutsideError(
                    f"{self.program} is not ready after {seconds:.0f} s ({reason}): "
                    f"{self.last_words()}"
                )
            time.sleep(0.1)


class Starter:
    """Starts programs, which end in the opposite order.

    Parameters
    ----------
    home : Path
        Where they run, and where their logs are.
    running : ExitStack
        Ends them.
    find : callable
        Program -> the path of it, or None if it has not been built.
    """

    def __init__(self, home: Path, running: ExitStack, find: Callable[[str], Path | None]) -> None:
        self._home = home
        self._running = running
        self._find = find

    def __call__(self, program: str, *arguments: str, inside: Sequence[str] = ()) -> Server:
        """Start a program.

        Parameters
        ----------
        program : str
            Its name.
        *arguments : str
            What it is given.
        inside : sequence of str
            The command that starts it elsewhere.

        Raises
        ------
        OutsideError
            If it has not been built.
        """
        path = self._find(program)
        if path is None:
            raise OutsideError(f"There is no {program}: `make test-cluster` builds it.")
        log = self._home / f"{program}.log"
        output: IO[bytes] = self._running.enter_context(log.open("wb"))
        process = subprocess.Popen(
            [*inside, str(path), *arguments],
            stdout=output, stderr=subprocess.STDOUT, cwd=self._home,
        )  # fmt: skip
        self._running.callback(_end, process)
        return Server(program, process, log)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
