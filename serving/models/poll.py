"""The poll: what the registry says about all problems, asked once for all workers of a machine.

One question per poll lists the aliases of every problem. A version is asked for only when something
about its problem has changed, and one of them in turn from time to time, since people may change
tags by hand. The answer lies in a file beside the models, from which the other workers take it. On
a disk that cannot be used each worker asks for itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from perennial.errors import OutsideError, UnavailableError
from perennial.registry.model_version import (
    CANARY,
    PREVIOUS,
    PRODUCTION,
    Aliases,
    ModelVersion,
)

if TYPE_CHECKING:
    from perennial.registry.artifact import ModelFile

# What answers, or is kept in memory to answer.
SERVED = (PRODUCTION, PREVIOUS, CANARY)
# A version whose problem seems unchanged is looked at again after this time.
_STALE_SECONDS = 600.0
# Of the time between two polls: an answer that is younger is as good as a new one.
_FRESH = 0.5
# Whoever has the turn and says nothing for so long has been stopped.
_PATIENCE_SECONDS = 30.0
_FILE, _LOCK = "registry.json", "registry.lock"
_log = logging.getLogger(__name__)


class Source(Protocol):
    """What a worker asks: the registry, or what a poll has found there."""

    def problems(self) -> Sequence[Aliases]:
        """Return what the aliases of every problem name."""

    def find(self, problem: str, number: int) -> ModelVersion | None:
        """Return a version with its tags, or None if there is none."""

    def fetch(self, version: ModelVersion) -> ModelFile:
        """Return the stored files of a version, not verified yet."""


@dataclass(frozen=True)
class Answer:
    """What the registry said.

    Attributes
    ----------
    signal : int
        What asked for the poll, if somebody did; see `Poll.look`.
    at : float
        When it was asked, by the clock of this machine that never goes back.
    problems : tuple of Aliases
        What the aliases of every problem name.
    versions : tuple of ModelVersion
        The versions that they name.
    read : mapping of str to float
        Problem -> when its versions were asked for.
    troubles : mapping of str to str
        Problem -> why its versions could not be.
    failed : str
        Why the registry said nothing, or nothing.
    """

    signal: int
    at: float
    problems: tuple[Aliases, ...] = ()
    versions: tuple[ModelVersion, ...] = ()
    read: Mapping[str, float] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)
    failed: str = ""


_ANSWER = TypeAdapter(Answer)


class Found:
    """An answer as a source of versions; files still come from the registry.

    Parameters
    ----------
    answer : Answer
        What the registry said.
    connect : callable
        Returns the registry.
    """

    def __init__(self, answer: Answer, connect: Callable[[], Source]) -> None:
        self._answer, self._connect = answer, connect
        self._versions = {(each.problem, each.version): each for each in answer.versions}

    def problems(self) -> Sequence[Aliases]:
        """Return what the aliases of every problem name."""
        return self._answer.problems

    def find(self, problem: str, number: int) -> ModelVersion | None:
        """Return a version with its tags, or None if there is none.

        Raises
        ------
        OutsideError
            If the registry could not say.
        """
        if trouble := self._answer.troubles.get(problem):
            raise OutsideError(trouble)
        return self._versions.get((problem, number))

    def fetch(self, version: ModelVersion) -> ModelFile:
        """Return the stored files of a version, not verified yet.

        Raises
        ------
        OutsideError
            If the registry does not give them.
        """
        return self._connect().fetch(version)


class Poll:
    """Asks the registry, or takes what another worker of this machine was just told.

    Parameters
    ----------
    folder : Path
        Shared by all workers of this machine.
    seconds : float
        Time between two polls.
    connect : callable
        Returns the registry, and is not called before it is needed.
    """

    def __init__(self, folder: Path, seconds: float, connect: Callable[[], Source]) -> None:
        # An answer of before this process may be that of another registry.
        self._began = time.monotonic()
        self._folder, self._file = folder, folder / _FILE
        self._seconds, self._connect = seconds, connect
        self._used = 0
        self._last: Answer | None = None

    def look(self, signal: int) -> Found:
        """Return what the registry says now.

        Parameters
        ----------
        signal : int
            What it is asked for: an answer to another signal does not do, whatever its age.

        Raises
        ------
        OutsideError
            If the registry does not answer.
        """
        with self._turn() as has_turn:
            answer = self._shared() if has_turn else None
            if answer is None or not self._is_good(answer, signal):
                answer = self._ask(answer or self._last, signal)
                if has_turn:
                    self._share(answer)
            self._used = self._stamp()
        self._last = answer
        if answer.failed:
            raise OutsideError(answer.failed)
        return Found(answer, self._connect)

    def has_news(self) -> bool:
        """Return whether another worker was told something since this one has looked."""
        return self._stamp() != self._used

    def _is_good(self, answer: Answer, signal: int) -> bool:
        age = time.monotonic() - answer.at
        return answer.signal == signal and 0 <= age < self._seconds * _FRESH

    def _ask(self, before: Answer | None, signal: int) -> Answer:
        """Ask the registry; a failure is an answer, too, so that not every worker waits for it."""
        at = time.monotonic()
        try:
            return self._asked(before or Answer(signal, at), signal, at)
        except OutsideError as error:
            known = before or Answer(signal, at)
            return Answer(
                signal, at, known.problems, known.versions, known.read, known.troubles, str(error)
            )

    def _asked(self, before: Answer, signal: int, at: float) -> Answer:
        registry = self._connect()
        problems = tuple(registry.problems())
        known = {each.problem: each for each in before.problems}
        versions: dict[str, list[ModelVersion]] = {}
        for version in before.versions:
            versions.setdefault(version.problem, []).append(version)
        served = [each for each in problems if each.retired is None and PRODUCTION in each.versions]
        due = {
            each.problem
            for each in served
            if each != known.get(each.problem)
            or each.problem not in before.read
            or each.problem in before.troubles
        }
        due |= self._in_turn([each.problem for each in served if each.problem not in due], before)
        read, troubles = dict(before.read), {}
        for aliases in served:
            if aliases.problem not in due:
                continue
            try:
                versions[aliases.problem] = _named(registry, aliases)
            except UnavailableError:
                raise
            except OutsideError as error:
                troubles[aliases.problem] = str(error)
            read[aliases.problem] = at
        names = [each.problem for each in served]
        return Answer(
            signal,
            at,
            problems,
            tuple(version for name in names for version in versions.get(name, ())),
            {name: read[name] for name in names},
            troubles,
        )

    def _in_turn(self, names: Sequence[str], before: Answer) -> set[str]:
        """Return the problem that was not asked for longest, if that is long ago."""
        oldest = min(names, key=lambda name: before.read[name], default=None)
        if oldest is None or time.monotonic() - before.read[oldest] < _STALE_SECONDS:
            return set()
        return {oldest}

    @contextmanager
    def _turn(self) -> Iterator[bool]:
        """Let one worker ask at a time; yield False where the disk does not let them wait."""
        lock = FileLock(self._folder / _LOCK)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(_PATIENCE_SECONDS)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _shared(self) -> Answer | None:
        """Return the last answer to a worker of this machine since this one began."""
        try:
            found = _ANSWER.validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            return None
        return found if found.at >= self._began else None

    def _share(self, answer: Answer) -> None:
        """Write the answer for the others, as a whole or not at all."""
        scratch = ""
        try:
            with NamedTemporaryFile(dir=self._folder, suffix=".new", delete=False) as file:
                scratch = file.name
                file.write(_ANSWER.dump_json(answer))
            Path(scratch).replace(self._file)
        except OSError:
            # The others ask for themselves; that the disk fails is said by the cache of models.
            _log.debug("What the registry says cannot be shared.", exc_info=True)
            Path(scratch).unlink(missing_ok=True)

    def _stamp(self) -> int:
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return 0


def _named(registry: Source, aliases: Aliases) -> list[ModelVersion]:
    numbers = {aliases.versions[alias] for alias in SERVED if alias in aliases.versions}
    found = (registry.find(aliases.problem, number) for number in sorted(numbers))
    return [each for each in found if each is not None]
