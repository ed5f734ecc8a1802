"""Histories of problems: read in the background when somebody looks, and kept for the next look."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from perennial.errors import OutsideError
from perennial.registry.client import open_registry
from perennial.settings import Settings
from perennial.status.history import History, read_history

_FRESH_SECONDS = 15.0
_READERS = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """A history as it was read, or why it could not be.

    Attributes
    ----------
    at : datetime
        When.
    history : History or None
        The last one that could be read.
    failed : str
        Why the last try failed, or nothing.
    """

    at: datetime
    history: History | None
    failed: str = ""


class Histories:
    """The histories of all problems at which somebody has looked.

    Parameters
    ----------
    read : callable
        Returns the history of a problem, given its name.
    """

    def __init__(self, read: Callable[[str], History]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._kept: dict[str, Kept] = {}
        self._begun: dict[str, float] = {}
        self._reading: set[str] = set()

    def get(self, problem: str) -> Kept | None:
        """Return what is known by now, and begin to read what is not known or not fresh."""
        with self._lock:
            age = time.monotonic() - self._begun.get(problem, -_FRESH_SECONDS)
            is_idle = problem not in self._reading and len(self._reading) < _READERS
            if age >= _FRESH_SECONDS and is_idle:
                self._begun[problem] = time.monotonic()
                self._reading.add(problem)
                # A daemon: a registry that does not answer must not keep the process from its end.
                threading.Thread(target=self._refresh, args=(problem,), daemon=True).start()
            return self._kept.get(problem)

    def forget(self, problem: str) -> None:
        """Read the history of a problem anew at the next look; somebody has changed it."""
        with self._lock:
            self._begun.pop(problem, None)

    def _refresh(self, problem: str) -> None:
        before = self._kept.get(problem)
        try:
            kept = Kept(datetime.now(UTC), self._read(problem))
        except Exception as error:  # noqa: BLE001 - the page says that it failed
            if isinstance(error, OutsideError):
                why = str(error)
            else:
                _log.exception("The history of %s cannot be read.", problem)
                why = f"It cannot be read ({type(error).__name__}); the exporter's log says more."
            kept = Kept(datetime.now(UTC), before.history if before else None, why)
        with self._lock:
            self._kept[problem] = kept
            self._reading.discard(problem)


def from_registry(settings: Settings) -> Callable[[str], History]:
    """Return a function that reads the history of a problem from the registry."""
    return lambda problem: read_history(open_registry(settings), problem)
