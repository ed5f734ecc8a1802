"""The model store: which versions are in memory, and what the registry's aliases make of them."""

from __future__ import annotations

import gc
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.errors import OutsideError, ProblemError
from perennial.registry.artifact import ModelFile
from perennial.registry.model_version import CANARY, PREVIOUS, PRODUCTION, Aliases, ModelVersion
from serving.models.cache import ModelCache
from serving.models.loaded import Loaded, Origin, Served, load
from serving.models.poll import SERVED, Source
from serving.problem_files import ProblemFiles
from serving.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from perennial.config.answering.abstain import Abstain
    from perennial.config.answering.examples import Example
    from perennial.config.sections.redact import Redact

    # `abstain`, `examples` and `redact` of a problem's file.
    _Said = tuple[Abstain | None, Sequence[Example], Redact | None]

_log = logging.getLogger(__name__)
# In place of an alias, where none of them can be read.
_ANY = "any"
# Problems have such names; they become folders here.
_PROBLEM = re.compile(r"[a-z][a-z0-9-]{0,59}")

_Read = Callable[[ModelVersion], ModelFile]
_Key = tuple[str, int, str | None]


class ModelStore:
    """The models of one worker.

    One thread changes it; others read `served`, which is replaced as a whole and never changed.

    Parameters
    ----------
    folder : Path
        Shared by all workers of this machine.
    metrics : Metrics
        Told about swaps and refusals.
    files : ProblemFiles, optional
        Say when no label is given, and what there is to try.
    """

    def __init__(self, folder: Path, metrics: Metrics, files: ProblemFiles | None = None) -> None:
        self._cache = ModelCache(folder, metrics)
        self._files = files
        self._unread: dict[str, str] = {}
        self._metrics = metrics
        self._refused: set[_Key] = set()
        self._complaints: dict[_Key, str] = {}
        self._troubles: dict[str, str] = {}
        self._erasures: dict[str, str] = {}
        self.served: Mapping[str, Served] = {}
        self._is_restored = self._has_looked = False

    def restore(self) -> None:
        """Load what was served last on this machine, without asking the registry."""
        for problem, versions in self._cache.states():
            self._serve(problem, versions, "cache", self._cache.read)
        self._is_restored = bool(self.served)

    def has_cached(self) -> bool:
        """Return whether a worker of this machine has served a model, now or before."""
        return any(True for _ in self._cache.states())

    def note_look(self) -> None:
        """Note that the registry was asked, whether or not it answers."""
        self._has_looked = True

    def knows(self, problem: str | None) -> bool:
        """Return whether it is certain which model answers, and that a missing one is not to come.

        Parameters
        ----------
        problem : str or None
            Name of the problem; None for the only one.
        """
        served = self.served
        if self._has_looked:
            return bool(served)
        return bool(served) and self._is_restored if problem is None else problem in served

    def update(self, registry: Source) -> None:
        """Serve what the registry's aliases name now.

        A problem that has lost its alias ``production`` is served on: an alias that is missing says
        nothing about the model, and an empty registry must not stop the service. Nor does the
        trouble of one problem stop the look at the next.

        Raises
        ------
        OutsideError
            If the registry does not answer.
        """
        for aliases in registry.problems():
            if aliases.retired is not None:
                self._let_go(aliases.problem)
            elif _PROBLEM.fullmatch(aliases.problem) and PRODUCTION in aliases.versions:
                try:
                    self._update(registry, aliases)
                except Exception as error:  # noqa: BLE001 - it is logged, and the next must be seen
                    self._trouble(aliases.problem, error)
                else:
                    self._troubles.pop(aliases.problem, None)
                is_troubled = aliases.problem in self._troubles
                self._metrics.refuses(aliases.problem, _ANY, now=is_troubled)

    def _update(self, registry: Source, aliases: Aliases) -> None:
        problem, versions = aliases.problem, self._named(registry, aliases)
        self._serve(
            problem,
            versions,
            "registry",
            partial(self._cache.fetch, registry),
            partial(self._cache.fetch, registry, anew=True),
        )
        served = self.served.get(problem)
        self._say_refused(problem, versions)
        production = versions.get(PRODUCTION)
        if served and production and _key(served.production.version) == _key(production):
            named = {alias: loaded.version for alias, loaded in _by_alias(served)}
            self._cache.remember(registry, problem, named)
        if aliases.erasure is not None and self._erasures.get(problem) != aliases.erasure:
            self._cache.forget(registry, problem, aliases.erasure, tuple(versions.values()))
            self._erasures[problem] = aliases.erasure
        missing = [alias for alias in SERVED if alias in aliases.versions.keys() - versions]
        dangling = [alias for alias in missing if not _is_between(aliases, alias)]
        if dangling:
            gone = ", ".join(f"{alias} {aliases.versions[alias]}" for alias in dangling)
            raise OutsideError(f"Aliases name versions that are not in the registry: {gone}.")

    def _say_refused(self, problem: str, versions: Mapping[str, ModelVersion]) -> None:
        """Say which versions are named and not used, for as long as that is so."""
        used = {alias: _key(each.version) for alias, each in _by_alias(self.served.get(problem))}
        for alias in (PRODUCTION, CANARY):
            named = versions.get(alias)
            is_refused = named is not None and used.get(alias) != _key(named)
            self._metrics.refuses(problem, alias, now=is_refused)

    def _let_go(self, problem: str) -> None:
        """Answer no more for a problem that was retired, also after the next start."""
        served = self.served.get(problem)
        if served is None:
            return
        self.served = {name: each for name, each in self.served.items() if name != problem}
        for alias, loaded in _by_alias(served):
            self._metrics.loaded(problem, alias, loaded.version.version, here=False)
        for alias in (PRODUCTION, CANARY, _ANY):
            self._metrics.refuses(problem, alias, now=False)
        self._cache.drop(problem)
        _log.info("%r was retired, and is not answered any more.", problem, extra=_said(problem))

    def _trouble(self, problem: str, error: Exception) -> None:
        """Log and count trouble with a problem, once."""
        if self._troubles.get(problem) != str(error):
            self._troubles[problem] = str(error)
            self._metrics.announce_problem(problem)
            self._metrics.swap_failed(problem)
            unexpected = None if isinstance(error, OutsideError) else error
            _log.warning(
                "%r is answered as before: %s",
                problem,
                error,
                exc_info=unexpected,
                extra=_said(problem),
            )

    def _named(self, registry: Source, aliases: Aliases) -> dict[str, ModelVersion]:
        """Return the versions that the aliases name; of the previous one nothing changes."""
        served = self.served.get(aliases.problem)
        known = served.previous.version if served and served.previous else None
        versions = {}
        for alias in SERVED:
            number = aliases.versions.get(alias)
            if number is None:
                continue
            if _is_between(aliases, alias):
                continue
            if alias == PREVIOUS and known and known.since(PREVIOUS) and known.version == number:
                versions[alias] = known
            elif (found := registry.find(aliases.problem, number)) is not None:
                versions[alias] = found
        return versions

    def _serve(
        self,
        problem: str,
        versions: Mapping[str, ModelVersion],
        origin: Origin,
        read: _Read,
        read_anew: _Read | None = None,
    ) -> None:
        """Bring the versions into memory and answer with them, as soon as Production is there."""
        self._metrics.announce_problem(problem)
        before = self.served.get(problem)
        memory = _Memory(before, origin, read, read_anew)
        production = self._load(memory, versions.get(PRODUCTION))
        if production is None and before is not None:
            production = before.production
        if production is None:
            return
        previous, canary = versions.get(PREVIOUS), versions.get(CANARY)
        said = self._said(problem)
        self._swap(
            Served(
                problem,
                production,
                memory.recall(previous) or _outgoing(before, production),
                memory.recall(canary),
                *said,
            )
        )
        self._swap(
            Served(
                problem,
                production,
                self._load(memory, previous) or self.served[problem].previous,
                self._load(memory, canary),
                *said,
            )
        )

    def _said(self, problem: str) -> _Said:
        """Return what a problem's file says about answers; of one that is broken as before."""
        if self._files is None or not self._files.changed(problem):
            return None, (), None
        try:
            found = self._files.read(problem)
        except ProblemError as error:
            if self._unread.get(problem) != str(error):
                self._unread[problem] = str(error)
                _log.warning("`abstain` and `redact` of %r stay as they were: %s", problem, error)
            served = self.served.get(problem)
            if served is None:
                return None, (), None
            return served.abstain, served.examples, served.redact
        self._unread.pop(problem, None)
        return found.abstain, found.examples, found.redact

    def _load(self, memory: _Memory, version: ModelVersion | None) -> Loaded | None:
        """Return a version from memory, or else from its files; None if it is refused."""
        if version is None:
            return None
        key = _key(version)
        loaded = memory.recall(version)
        if loaded is not None or key in self._refused:
            return loaded
        try:
            loaded = self._read_and_load(memory, version)
        except OutsideError as error:
            self._complain(version, error)
            return None
        self._complaints.pop(key, None)
        memory.keep(loaded)
        return loaded

    def _read_and_load(self, memory: _Memory, version: ModelVersion) -> Loaded:
        # The next poll tries again what cannot be read: the registry may only be away.
        file = memory.read(version)
        try:
            return load(version, file, memory.origin)
        except OutsideError:
            if memory.read_anew is None:
                raise
        # What lies on this machine's disk may be damaged, and the registry's sound.
        file = memory.read_anew(version)
        try:
            return load(version, file, memory.origin)
        except OutsideError:
            self._refused.add(_key(version))
            raise

    def _complain(self, version: ModelVersion, error: OutsideError) -> None:
        """Log and count a version that cannot be used, once."""
        if self._complaints.get(_key(version)) == str(error):
            return
        self._complaints[_key(version)] = str(error)
        self._metrics.swap_failed(version.problem)
        _log.warning(
            "Version %s of %r is not used: %s",
            version.version,
            version.problem,
            error,
            extra=_said(version.problem, version.version),
        )

    def _swap(self, served: Served) -> None:
        """Answer with these versions from now on."""
        before = self.served.get(served.problem)
        if before is not None and vars(before) == vars(served):
            return
        self._announce(served)
        self.served = {**self.served, served.problem: served}
        self._report(before, served)
        # What is loaded stays for long: the garbage collector need not look at it again and again.
        gc.freeze()

    def _announce(self, served: Served) -> None:
        """Let what these versions will answer be counted from zero."""
        for _, loaded in _by_alias(served):
            self._metrics.announce_version(
                served.problem,
                loaded.version.version,
                loaded.predictor.classes,
                takes_texts=loaded.kind == "text",
            )
        if served.canary is not None:
            self._metrics.announce_canary(served.problem, served.canary.version.version)

    def _report(self, before: Served | None, now: Served) -> None:
        gone = {(alias, loaded.version.version) for alias, loaded in _by_alias(before)}
        here = {(alias, loaded.version.version) for alias, loaded in _by_alias(now)}
        for alias, number in gone ^ here:
            self._metrics.loaded(now.problem, alias, number, here=(alias, number) in here)
        canary = now.canary and now.canary.version
        self._metrics.canary(
            now.problem,
            share=canary.share if canary else 0.0,
            shadow=canary.is_shadow if canary else False,
        )
        if before is None or _key(before.production.version) != _key(now.production.version):
            self._metrics.swapped(now.problem)
            number = now.production.version.version
            said = _said(now.problem, number)
            _log.info("%r is answered by version %s.", now.problem, number, extra=said)


class _Memory:
    """What a worker has loaded of a problem, and how it reads what it has not."""

    def __init__(
        self, served: Served | None, origin: Origin, read: _Read, read_anew: _Read | None
    ) -> None:
        self._loaded = {_key(loaded.version): loaded for _, loaded in _by_alias(served)}
        self.origin, self.read, self.read_anew = origin, read, read_anew

    def keep(self, loaded: Loaded) -> None:
        self._loaded[_key(loaded.version)] = loaded

    def recall(self, version: ModelVersion | None) -> Loaded | None:
        """Return a version that is in memory, with what the registry says about it now."""
        found = self._loaded.get(_key(version)) if version else None
        if found is None or version is None:
            return None
        if (found.version, found.origin) != (version, self.origin):
            found = replace(found, version=version, origin=self.origin)
            self.keep(found)
        return found


def _said(problem: str, version: int | None = None) -> dict[str, object]:
    """Return what programs read about a line of the log."""
    return {"problem": problem, "version": version}


def _outgoing(before: Served | None, production: Loaded) -> Loaded | None:
    """Return what to keep for an instant way back when no alias says it."""
    if before is None:
        return None
    changed = _key(before.production.version) != _key(production.version)
    return before.production if changed else before.previous


def _by_alias(served: Served | None) -> tuple[tuple[str, Loaded], ...]:
    if served is None:
        return ()
    named = ((PRODUCTION, served.production), (PREVIOUS, served.previous), (CANARY, served.canary))
    return tuple((alias, loaded) for alias, loaded in named if loaded is not None)


def _is_between(aliases: Aliases, alias: str) -> bool:
    """Return whether a promotion is between its two steps: what is in memory is the way back."""
    return alias == PREVIOUS and aliases.versions[PREVIOUS] == aliases.versions[PRODUCTION]


def _key(version: ModelVersion) -> _Key:
    return version.problem, version.version, version.sha256
