"""The versions on this machine's disk, with which a worker starts while the registry is away.

Below the folder lies, per problem, one folder for each version that was fetched, and a file that
says which of them the aliases named last. A disk that is full, read-only or odd keeps nothing, and
stops nothing: models are in memory.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Self

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from perennial.errors import OutsideError
from perennial.registry.artifact import GOLDEN_NAME, MODEL_FILE, Golden, ModelFile
from perennial.registry.model_version import ModelVersion
from serving.models.poll import Source
from serving.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)
_STATE, _LOCK, _ERASURE = "aliases.json", "lock", "erasure"
_DIGITS = 12
_KEPT_ON_DISK = 3


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


class ModelCache:
    """The folder of the versions, shared by all workers of this machine.

    Parameters
    ----------
    folder : Path
        Made when it is needed.
    metrics : Metrics
        Told whether the disk keeps the models.
    """

    def __init__(self, folder: Path, metrics: Metrics) -> None:
        self._folder = folder
        self._metrics = metrics
        self._complaint = ""
        self._metrics.cache_up.set(1)

    def states(self) -> Iterator[tuple[str, dict[str, ModelVersion]]]:
        """Yield each problem with the versions that its aliases named last."""
        for file in sorted(self._folder.glob(f"*/{_STATE}")):
            try:
                state = _State.model_validate_json(file.read_bytes())
            except (OSError, ValidationError):
                _log.warning("%s is damaged and not used.", file)
                continue
            yield (
                file.parent.name,
                {alias: facts.unpack() for alias, facts in state.versions.items()},
            )

    def drop(self, problem: str) -> None:
        """Forget what the aliases of a problem named; its versions stay until others need room."""
        with self._on_disk():
            (self._folder / problem / _STATE).unlink(missing_ok=True)

    def read(self, version: ModelVersion) -> ModelFile:
        """Return the files of a version, not verified yet.

        Raises
        ------
        OutsideError
            If they are not there, or cannot be read.
        """
        folder = self._version_folder(version)
        try:
            golden = Golden.model_validate_json((folder / GOLDEN_NAME).read_bytes())
            return ModelFile((folder / MODEL_FILE).read_bytes(), golden)
        except (OSError, ValidationError) as error:
            raise OutsideError(f"{folder} cannot be read: {type(error).__name__}.") from error

    def fetch(self, registry: Source, version: ModelVersion, *, anew: bool = False) -> ModelFile:
        """Return the files of a version, fetched once per machine however many workers ask.

        Parameters
        ----------
        registry : Registry
            Where they are if not here.
        version : ModelVersion
            The version.
        anew : bool
            Whether what is here is damaged.

        Raises
        ------
        OutsideError
            If the registry does not give them.
        """
        with self._locked(version.problem):
            if not anew:
                with suppress(OutsideError):
                    file = self.read(version)
                    if file.sha256 == version.sha256:
                        return file
            file = registry.fetch(version)
            if file.sha256 == version.sha256:
                with self._on_disk():
                    self._write(version, file)
            return file

    def remember(
        self, registry: Source, problem: str, versions: Mapping[str, ModelVersion]
    ) -> None:
        """Write down what the aliases name, and remove what no alias has named for long.

        Where the disk had failed, versions that are missing are fetched once it keeps files again.

        Raises
        ------
        OutsideError
            If the registry does not give them.
        """
        had_failed = bool(self._complaint)
        state = _State(versions={alias: _Facts.of(each) for alias, each in versions.items()})
        content = state.model_dump_json()
        file = self._folder / problem / _STATE
        with self._locked(problem), self._on_disk():
            if not had_failed and file.is_file() and file.read_text() == content:
                return
            scratch = file.with_suffix(".new")
            scratch.write_text(content)
            _remove(file, only_odd=True)
            scratch.replace(file)
            self._prune(problem, tuple(versions.values()))
        if had_failed and not self._complaint:
            for version in versions.values():
                self.fetch(registry, version)

    def forget(
        self, registry: Source, problem: str, erasure: str, versions: Sequence[ModelVersion]
    ) -> None:
        """Fetch versions anew after an erasure, and remove all others.

        Raises
        ------
        OutsideError
            If the registry does not give them.
        """
        note = self._folder / problem / _ERASURE
        with self._locked(problem):
            if note.is_file() and note.read_text() == erasure:
                return
            files = [(version, registry.fetch(version)) for version in versions]
            for folder in (self._folder / problem).iterdir():
                if folder.is_dir():
                    shutil.rmtree(folder)
            for version, file in files:
                if file.sha256 == version.sha256:
                    with self._on_disk():
                        self._write(version, file)
            note.write_text(erasure)

    def _write(self, version: ModelVersion, file: ModelFile) -> None:
        """Put a version onto the disk, as a whole or not at all."""
        folder = self._version_folder(version)
        scratch = Path(mkdtemp(dir=folder.parent))
        try:
            (scratch / MODEL_FILE).write_bytes(file.content)
            (scratch / GOLDEN_NAME).write_text(file.golden.model_dump_json())
            _remove(folder)
            scratch.rename(folder)
        except OSError:
            shutil.rmtree(scratch, ignore_errors=True)
            raise

    def _prune(self, problem: str, needed: Sequence[ModelVersion]) -> None:
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
        """Let no other worker change the folder of a problem; without a disk there is none."""
        with ExitStack() as held:
            with self._on_disk(is_proof=False):
                folder = self._folder / problem
                folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(FileLock(folder / _LOCK))
            yield

    @contextmanager
    def _on_disk(self, *, is_proof: bool = True) -> Iterator[None]:
        """Go on without the disk where it fails; say so once, and show it while it lasts.

        Parameters
        ----------
        is_proof : bool
            Whether the disk keeps files if this succeeds.
        """
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if reason != self._complaint:
                _log.warning(
                    "Models cannot be kept on disk (%s), and stay in memory: %s.",
                    self._folder,
                    reason,
                )
            self._complaint = reason
            self._metrics.cache_up.set(0)
        else:
            if is_proof and self._complaint:
                _log.info("Models are kept on disk again (%s).", self._folder)
                self._complaint = ""
                self._metrics.cache_up.set(1)


def _remove(path: Path, *, only_odd: bool = False) -> None:
    """Remove what is in the way: a folder, a file, or a link to something else."""
    if path.is_symlink() or (path.is_file() and not only_odd):
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
