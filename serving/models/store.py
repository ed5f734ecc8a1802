"""The model store: which versions are in memory and on this machine's disk.

Below its folder lies, per problem, one folder for each version that was fetched, and a file that
says which of them the aliases named last. With these a worker starts while the registry is away.
"""

from __future__ import annotations

import gc
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Self

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from perennial.errors import OutsideError
from perennial.registry.artifact import GOLDEN_NAME, MODEL_FILE, Golden, ModelFile
from perennial.registry.model_version import CANARY, PREVIOUS, PRODUCTION, Aliases, ModelVersion
from serving.models.loaded import Loaded, Origin, Served, load
from serving.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from perennial.registry.client import Registry

_log = logging.getLogger(__name__)
_ALIASES = (PRODUCTION, PREVIOUS, CANARY)
# Problems have such names; they become folders here.
_PROBLEM = re.compile(r"[a-z][a-z0-9-]{0,59}")
_STATE, _LOCK, _ERASURE = "aliases.json", "lock", "erasure"
_DIGITS = 12
_KEPT_ON_DISK = 3

_Read = Callable[[ModelVersion], ModelFile]
_Key = tuple[str, int, str | None]


class _Facts(BaseModel):
    """A version, as a file."""

    model_config = ConfigDict(frozen=True)

    problem: str
    version: int
    run_id: str
    tags: dict[str, str]

    @classmethod
    def of(cls, version: ModelVersion) -> Self:
        return cls(**vars(version))

    def unpack(self) -> ModelVersion:
        return ModelVersion(self.problem, self.version, self.run_id, self.tags)


class _State(BaseModel):
    """The versions that the aliases of a problem named last, as a file."""

    model_config = ConfigDict(frozen=True)

    versions: dict[str, _Facts]


class ModelStore:
    """The models of one worker.

    One thread changes it; others read `served`, which is replaced as a whole and never changed.

    Parameters
    ----------
    folder : Path
        Shared by all workers of this machine.
    metrics : Metrics
        Told about swaps and refusals.
    """

    def __init__(self, folder: Path, metrics: Metrics) -> None:
        self._folder = folder
        self._metrics = metrics
        self._refused: set[_Key] = set()
        self._complaints: dict[_Key, str] = {}
        self._erasures: dict[str, str] = {}
        self.served: Mapping[str, Served] = {}

    def restore(self) -> None:
        """Load what was served last on this machine, without asking the registry."""
        for state_file in sorted(self._folder.glob(f"*/{_STATE}")):
            try:
                state = _State.model_validate_json(state_file.read_bytes())
            except (OSError, ValidationError):
                _log.warning("%s is damaged and not used.", state_file)
                continue
            versions = {alias: facts.unpack() for alias, facts in state.versions.items()}
            self._serve(state_file.parent.name, versions, "cache", self._cached)

    def update(self, registry: Registry) -> None:
        """Serve what the registry's aliases name now.

        A problem that has lost its alias ``production`` is served on: an alias that is missing says
        nothing about the model, and an empty registry must not stop the service.

        Raises
        ------
        OutsideError
            If the registry does not answer.
        """
        for aliases in registry.problems():
            if _PROBLEM.fullmatch(aliases.problem) and PRODUCTION in aliases.versions:
                versions = self._named(registry, aliases)
                self._serve(
                    aliases.problem,
                    versions,
                    "registry",
                    partial(self._fetched, registry),
                )
                self._remember(aliases.problem, versions)
                self._forget(registry, aliases, versions)

    def _named(self, registry: Registry, aliases: Aliases) -> dict[str, ModelVersion]:
        """Return the versions that the aliases name; of the previous one nothing changes."""
        served = self.served.get(aliases.problem)
        known = served.previous.version if served and served.previous else None
        versions = {}
        for alias in _ALIASES:
            number = aliases.versions.get(alias)
            if number is None:
                continue
            if alias == PREVIOUS and number == aliases.versions[PRODUCTION]:
                # A promotion is between its two steps: what is in memory is still the way back.
                continue
            if alias == PREVIOUS and known and known.since(PREVIOUS) and known.version == number:
                versions[alias] = known
            else:
                versions[alias] = registry.version(aliases.problem, number)
        return versions

    def _serve(
        self,
        problem: str,
        versions: Mapping[str, ModelVersion],
        origin: Origin,
        read: _Read,
    ) -> None:
        """Bring the versions into memory and answer with them, as soon as Production is there."""
        self._metrics.announce_problem(problem)
        before = self.served.get(problem)
        memory = _Memory(before, origin, read)
        production = self._load(memory, versions.get(PRODUCTION))
        if production is None and before is not None:
            production = before.production
        if production is None:
            return
        previous, canary = versions.get(PREVIOUS), versions.get(CANARY)
        self._swap(
            Served(
                problem,
                production,
                memory.recall(previous) or _outgoing(before, production),
                memory.recall(canary),
            )
        )
        self._swap(
            Served(
                problem,
                production,
                self._load(memory, previous) or self.served[problem].previous,
                self._load(memory, canary),
            )
        )

    def _load(self, memory: _Memory, version: ModelVersion | None) -> Loaded | None:
        """Return a version from memory, or else from its files; None if it is refused."""
        if version is None:
            return None
        key = _key(version)
        loaded = memory.recall(version)
        if loaded is not None or key in self._refused:
            return loaded
        try:
            file = memory.read(version)
        except OutsideError as error:
            # The next poll tries again: the registry may only be away.
            self._complain(version, error)
            return None
        try:
            loaded = load(version, file, memory.origin)
        except OutsideError as error:
            if memory.origin == "registry":
                self._refused.add(key)
            self._complain(version, error)
            return None
        self._complaints.pop(key, None)
        memory.keep(loaded)
        return loaded

    def _complain(self, version: ModelVersion, error: OutsideError) -> None:
        """Log and count a version that cannot be used, once."""
        if self._complaints.get(_key(version)) == str(error):
            return
        self._complaints[_key(version)] = str(error)
        self._metrics.swap_failed(version.problem)
        _log.warning("Version %s of %r is not used: %s", version.version, version.problem, error)

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
            _log.info("%r is answered by version %s.", now.problem, now.production.version.version)

    def _cached(self, version: ModelVersion) -> ModelFile:
        """Read a version from this machine's disk."""
        folder = self._version_folder(version)
        try:
            golden = Golden.model_validate_json((folder / GOLDEN_NAME).read_bytes())
            return ModelFile((folder / MODEL_FILE).read_bytes(), golden)
        except (OSError, ValidationError) as error:
            raise OutsideError(f"{folder} cannot be read: {type(error).__name__}.") from error

    def _fetched(self, registry: Registry, version: ModelVersion) -> ModelFile:
        """Return a version's files, fetched once per machine however many workers ask."""
        with self._locked(version.problem):
            with suppress(OutsideError):
                file = self._cached(version)
                if file.sha256 == version.sha256:
                    return file
            file = registry.fetch(version)
            if file.sha256 == version.sha256:
                self._write(version, file)
            return file

    def _write(self, version: ModelVersion, file: ModelFile) -> None:
        """Put a version onto the disk, as a whole or not at all."""
        folder = self._version_folder(version)
        scratch = Path(mkdtemp(dir=folder.parent))
        (scratch / MODEL_FILE).write_bytes(file.content)
        (scratch / GOLDEN_NAME).write_text(file.golden.model_dump_json())
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)

    def _remember(self, problem: str, versions: Mapping[str, ModelVersion]) -> None:
        """Write down what the aliases name, for a start without the registry."""
        served = self.served.get(problem)
        if served is None or _key(served.production.version) != _key(versions[PRODUCTION]):
            return
        good = {alias: _Facts.of(loaded.version) for alias, loaded in _by_alias(served)}
        content = _State(versions=good).model_dump_json()
        file = self._folder / problem / _STATE
        with self._locked(problem):
            if file.exists() and file.read_text() == content:
                return
            scratch = file.with_suffix(".new")
            scratch.write_text(content)
            scratch.replace(file)
            self._prune(problem, [loaded.version for _, loaded in _by_alias(served)])

    def _forget(
        self, registry: Registry, aliases: Aliases, versions: Mapping[str, ModelVersion]
    ) -> None:
        """Fetch golden examples anew after an erasure: those here may be of erased documents."""
        problem, erasure = aliases.problem, aliases.erasure
        if erasure is None or self._erasures.get(problem) == erasure:
            return
        note = self._folder / problem / _ERASURE
        with self._locked(problem):
            if not note.exists() or note.read_text() != erasure:
                files = [(version, registry.fetch(version)) for version in versions.values()]
                for folder in (self._folder / problem).iterdir():
                    if folder.is_dir():
                        shutil.rmtree(folder)
                for version, file in files:
                    if file.sha256 == version.sha256:
                        self._write(version, file)
                note.write_text(erasure)
        self._erasures[problem] = erasure

    def _prune(self, problem: str, needed: Sequence[ModelVersion]) -> None:
        """Remove the versions from the disk that no alias has named for long."""
        kept = {self._version_folder(version) for version in needed}
        others = [
            folder
            for folder in (self._folder / problem).iterdir()
            if folder.is_dir() and folder not in kept
        ]
        others.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in others[_KEPT_ON_DISK:]:
            shutil.rmtree(folder, ignore_errors=True)

    def _version_folder(self, version: ModelVersion) -> Path:
        # With the digest: another registry may have another version of this number.
        digest = (version.sha256 or "unknown")[:_DIGITS]
        return self._folder / version.problem / f"{version.version}-{digest}"

    @contextmanager
    def _locked(self, problem: str) -> Iterator[None]:
        folder = self._folder / problem
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / _LOCK):
            yield


class _Memory:
    """What a worker has loaded of a problem, and how it reads what it has not."""

    def __init__(self, served: Served | None, origin: Origin, read: _Read) -> None:
        self._loaded = {_key(loaded.version): loaded for _, loaded in _by_alias(served)}
        self.origin, self.read = origin, read

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


def _key(version: ModelVersion) -> _Key:
    return version.problem, version.version, version.sha256
