"""The board: facts about all problems, gathered in the background, so that no page waits."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from perennial.settings import Settings
from perennial.status.facts import Facts, read_facts
from perennial.status.rules import STATES, Finding, State, find, state_of

# While nobody reads.
_UNREAD_SECONDS = 300.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One problem with what was found about it.

    Attributes
    ----------
    facts : Facts
        What is known.
    findings : tuple of Finding
        What the rules find, the worst first.
    """

    facts: Facts
    findings: tuple[Finding, ...]

    @property
    def state(self) -> State:
        """The word for the problem."""
        return state_of(self.findings)


@dataclass(frozen=True)
class Gathered:
    """What was known about all problems at a moment.

    Attributes
    ----------
    at : datetime
        When.
    entries : tuple of Entry
        Every problem, those in trouble first.
    """

    at: datetime
    entries: tuple[Entry, ...]

    def entry(self, name: str) -> Entry | None:
        """Return the entry of a problem, if there is one."""
        return next((each for each in self.entries if each.facts.name == name), None)

    def count(self, state: State) -> int:
        """Return how many problems are in a state."""
        return sum(each.state == state for each in self.entries)


class Board:
    """Gathers facts about all problems again and again, in a thread of its own.

    It looks often while somebody reads a page, and rarely otherwise: a look at many problems costs
    MLflow hundreds of requests.

    Parameters
    ----------
    settings : Settings
        Where problems, registry and MongoDB are.
    seconds : float
        Time between the beginnings of two looks while somebody reads, at least.
    read : callable
        Returns the facts about all problems, given the settings and the moment.
    """

    def __init__(
        self,
        settings: Settings,
        seconds: float,
        read: Callable[[Settings, datetime], tuple[Facts, ...]] = read_facts,
    ) -> None:
        self._settings, self._seconds, self._read = settings, seconds, read
        self._wanted, self._ended = threading.Event(), threading.Event()
        self._gathered: Gathered | None = None
        self._failed = ""
        self._begun = -math.inf
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)

    @property
    def gathered(self) -> Gathered | None:
        """What the last look has found; None until the first one is over."""
        return self._gathered

    @property
    def failed(self) -> str:
        """Why the last look has failed, or nothing."""
        return self._failed

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def read(self) -> Gathered | None:
        """Return what is known for somebody who reads it, and look again if that is not fresh."""
        if time.monotonic() - self._begun >= self._seconds:
            self._wanted.set()
        return self._gathered

    def look_now(self) -> None:
        """Look again as soon as the look that has begun is over."""
        self._wanted.set()

    def end(self) -> None:
        """Look no more; a look that has begun is not waited for."""
        self._ended.set()
        self._wanted.set()

    def gather(self) -> None:
        """Look once."""
        now = datetime.now(UTC)
        self._begun = time.monotonic()
        try:
            found = [Entry(each, find(each, now)) for each in self._read(self._settings, now)]
        except Exception as error:  # noqa: BLE001 - the next look may succeed, and the page says so
            _log.exception("The facts for the console could not be gathered.")
            self._failed = (
                f"The last look failed ({type(error).__name__}); the exporter's log says more."
            )
            return
        found.sort(key=lambda each: (STATES.index(each.state), each.facts.name))
        self._gathered, self._failed = Gathered(datetime.now(UTC), tuple(found)), ""

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wanted.clear()
            self.gather()
            self._wanted.wait(_UNREAD_SECONDS)
