"""Parts of runs that workers of an engine do in tests: some end their worker, once or always."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from perennial.engine.workers import for_workers


@dataclass(frozen=True)
class Counting:
    """A part that adds a line to a file, and may end its worker before it is done.

    Attributes
    ----------
    file : Path
        Has a line for each time that the part was begun.
    deaths : int
        How often its worker is killed in the middle.
    """

    file: Path
    deaths: int = 0


@for_workers
def count(part: Counting) -> int:
    """Return how often the part was begun."""
    with part.file.open("a") as file:
        file.write("begun\n")
    begun = len(part.file.read_text().splitlines())
    if begun <= part.deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return begun


@for_workers
def wait_for(file: Path) -> None:
    """Say that the part has begun, and never be done."""
    file.touch()
    signal.pause()


@for_workers
def fail(reason: str) -> None:
    """Fail as code does that is wrong."""
    raise RuntimeError(reason)


@for_workers
def hold(size: int) -> int:
    """Hold so many bytes for a moment."""
    return len(bytes(size))


def uncalled(reason: str) -> None:
    """Say that something was called which nobody has let workers do."""
    raise AssertionError(reason)
