"""The one door to MLflow: runs, model versions, and the aliases that say which one answers.

MLflow reads its environment when it is imported: call `libraries.prepare_environment` before this
module is, as the packages `flows` and `tasks` do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from perennial.commands import command
from perennial.errors import OutsideError
from perennial.formats import VERSION, require_readable
from perennial.registry import aliases
from perennial.registry.aliases import StaleComparisonError
from perennial.registry.artifact import (
    GOLDEN_FILE,
    MODEL_FILE,
    Golden,
    ModelFile,
    log_model,
    open_model,
    read_golden,
)
from perennial.registry.history import Change, Note
from perennial.registry.model_version import (
    CANARY,
    PREVIOUS,
    PRODUCTION,
    WAITING,
    Aliases,
    ModelVersion,
    Question,
)
from perennial.registry.provenance import SnapshotLike
from perennial.registry.removal import Removal
from perennial.registry.runs import ensure_model, explained, open_client
from perennial.registry.tags import CHANGED, ERASURE, TAG, CanaryTags, FileTags, VersionKey
from perennial.settings import Settings

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = [
    "CANARY",
    "PREVIOUS",
    "PRODUCTION",
    "Aliases",
    "Change",
    "ModelVersion",
    "Note",
    "Question",
    "Registry",
    "SnapshotLike",
    "StaleComparisonError",
    "open_registry",
]

_VERSIONS_AT_ONCE = 50


class Registry(Removal):
    """MLflow as this project uses it: runs, versions and aliases; `connect` makes one."""

    def register(
        self,
        problem: str,
        run_id: str,
        model: Pipeline,
        golden: Golden,
        *,
        tags: Mapping[str, str],
    ) -> ModelVersion:
        """Store a fitted model as the next version of a problem.

        The version is sound when it appears: its files are written, read back and tried on the
        golden examples before it is created.

        Parameters
        ----------
        problem : str
            Name of the registered model.
        run_id : str
            The run that made the model.
        model : Pipeline
            Raw inputs in, labels and probabilities out.
        golden : Golden
            Stored beside the model.
        tags : mapping of str to str
            Facts about the version, as `VersionTags` writes them.

        Raises
        ------
        OutsideError
            If MLflow fails, or if what was stored does not load as it was.
        """
        with explained():
            uri, model_id = log_model(run_id, model, golden)
            self.share_code()
        name = f"The model that was just stored for {problem!r} (MLFLOW_TRACKING_URI)"
        stored = self._download(model_id, name)
        open_model(stored, stored.sha256, name)
        file = FileTags(stored.sha256, len(stored.content), model_id)
        facts = {**file.as_tags(), **tags}
        with explained():
            ensure_model(self._client, problem)
            created = self._client.create_model_version(
                problem,
                uri,
                run_id=run_id,
                tags={TAG + key: value for key, value in facts.items()},
                model_id=model_id,
            )
        return _version(created)

    def load(self, version: ModelVersion) -> Pipeline:
        """Return the model of a version, its file verified and its golden examples tried.

        Raises
        ------
        OutsideError
            If the file is not the one that was registered, names a class that is not trusted, or
            gives other probabilities than it did when it was made.
        """
        return open_model(self.fetch(version), version.sha256, _named(version))

    def fetch(self, version: ModelVersion) -> ModelFile:
        """Return the stored files of a version, not verified yet.

        Raises
        ------
        OutsideError
            If MLflow fails, or if the version was not registered by this project.
        """
        name = _named(version)
        require_readable(name, version.format, VERSION)
        if version.model_id is None:
            raise OutsideError(
                f"{name} was not registered by `{command('retrain')}` and is not trusted."
            )
        return self._download(version.model_id, name)

    def version(self, problem: str, number: int) -> ModelVersion:
        """Return a version of a problem with its tags.

        Raises
        ------
        OutsideError
            If there is none, or MLflow fails.
        """
        found = self.find(problem, number)
        if found is None:
            raise OutsideError(
                f"There is no version {number} of {problem!r} (MLFLOW_TRACKING_URI)."
            )
        return found

    def find(self, problem: str, number: int) -> ModelVersion | None:
        """Return a version of a problem with its tags, or None if there is none."""
        with explained():
            try:
                return _version(self._client.get_model_version(problem, str(number)))
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise

    def production(self, problem: str) -> ModelVersion | None:
        """Return the version that answers requests, or None if there is none."""
        return self.alias(problem, PRODUCTION)

    def require_production(self, problem: str) -> ModelVersion:
        """Return the version that answers requests.

        Raises
        ------
        OutsideError
            If there is none, or MLflow fails.
        """
        found = self.production(problem)
        if found is None:
            raise OutsideError(
                f"{problem!r} has no Production model; run `{command('retrain', problem)}` first."
            )
        return found

    def alias(self, problem: str, alias: str) -> ModelVersion | None:
        """Return the version that an alias names, or None."""
        with explained():
            try:
                return _version(self._client.get_model_version_by_alias(problem, alias))
            except MlflowException as error:
                if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    return None
                raise

    def waiting(self, problem: str | None = None) -> tuple[ModelVersion, ...]:
        """Return the versions that wait for a person's answer, of one problem or of all."""
        wanted = [f"tags.`{VersionKey.VERDICT.tag}` = '{WAITING}'"]
        if problem is not None:
            wanted.append(f"name = '{problem}'")
        return self._search(wanted)

    def versions(self, problem: str) -> tuple[ModelVersion, ...]:
        """Return all versions of a problem."""
        return self._search([f"name = '{problem}'"])

    def newest_first(self, problem: str) -> Iterator[ModelVersion]:
        """Yield the versions of a problem, the one that was registered last first."""
        token: str | None = None
        while True:
            with explained():
                page = self._client.search_model_versions(
                    f"name = '{problem}'",
                    max_results=_VERSIONS_AT_ONCE,
                    order_by=["version_number DESC"],
                    page_token=token,
                )
            yield from map(_version, page)
            token = page.token
            if not token:
                return

    def newest(self, problem: str) -> ModelVersion | None:
        """Return the version of a problem that was registered last, if there is one."""
        with explained():
            page = self._client.search_model_versions(
                f"name = '{problem}'", max_results=1, order_by=["version_number DESC"]
            )
        return _version(page[0]) if page else None

    def note_erasure(self, problem: str, at: datetime) -> None:
        """Let services know that what they keep of a problem's models has to be fetched anew."""
        with explained():
            ensure_model(self._client, problem)
            self._client.set_registered_model_tag(problem, ERASURE, at.isoformat())

    def _search(self, wanted: Sequence[str]) -> tuple[ModelVersion, ...]:
        found: list[ModelVersion] = []
        token: str | None = None
        with explained():
            while True:
                page = self._client.search_model_versions(" and ".join(wanted), page_token=token)
                found.extend(_version(entity) for entity in page)
                token = page.token
                if not token:
                    return tuple(found)

    def promote(
        self, version: ModelVersion, *, expected: ModelVersion | None, note: Note | None = None
    ) -> None:
        """Move the alias ``production`` to a version; the caller holds the problem's lease.

        Raises
        ------
        StaleComparisonError
            If Production is not the expected version any more, or somebody else has moved it while
            this process was held up; then it is what they say.
        """
        current = self.production(version.problem)
        if current is not None and current.version == version.version:
            return
        _require(current, expected)
        is_usable = current is not None and self.is_stored(current)
        with explained():
            aliases.promote(self._client, version, current, note or Note(), can_go_back=is_usable)

    def roll_back(
        self, version: ModelVersion, *, expected: ModelVersion | None, note: Note
    ) -> None:
        """Put a version in the place of Production; the caller holds the problem's lease.

        A newer version that is left by this is marked as rolled back. ``previous`` names what was
        Production before the version, or nothing.

        Raises
        ------
        StaleComparisonError
            If Production is not the expected version any more, or somebody else has moved it while
            this process was held up; then it is what they say.
        """
        _require(self.production(version.problem), expected)
        with explained():
            aliases.roll_back(self._client, version, expected, note)

    def history(self, problem: str) -> tuple[Change, ...]:
        """Return every change of Production, the oldest first."""
        now = self.production(problem)
        with explained():
            return aliases.read_history(self._client, problem, now)

    def start_canary(self, version: ModelVersion, *, share: float, shadow: bool = False) -> None:
        """Let a version answer a share of the requests, or with `shadow` only see them."""
        self.tag(version, CanaryTags(share=share, shadow=shadow).as_tags())
        with explained():
            self._name(version, CANARY)

    def stop_canary(self, problem: str) -> None:
        """Let no canary answer any more."""
        with explained():
            self._client.delete_registered_model_alias(problem, CANARY)

    def _name(self, version: ModelVersion, alias: str) -> None:
        aliases.give_alias(self._client, version, alias)

    def annotate(self, version: ModelVersion, *, description: str, tags: Mapping[str, str]) -> None:
        """Write facts onto a version: Markdown for people, tags for programs."""
        with explained():
            self._client.update_model_version(version.problem, str(version.version), description)
        self.tag(version, tags)

    def tag(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Write facts onto a version for programs; its description stays.

        Services hear of it by a tag of the registered model, which they ask for anyway.
        """
        with explained():
            for key, value in tags.items():
                self._client.set_model_version_tag(
                    version.problem, str(version.version), TAG + key, value
                )
            now = datetime.now(UTC).isoformat()
            self._client.set_registered_model_tag(version.problem, CHANGED, now)

    def _download(self, model_id: str, name: str) -> ModelFile:
        """Return the model file and the golden examples of a stored model, and nothing else."""
        with explained(), TemporaryDirectory() as scratch:
            root = self._client.get_logged_model(model_id).artifact_location
            model, golden = (
                Path(download_artifacts(f"{root}/{file}", dst_path=scratch))
                for file in (MODEL_FILE, GOLDEN_FILE)
            )
            return ModelFile(model.read_bytes(), read_golden(golden, name))


def open_registry(settings: Settings) -> Registry:
    """Return the registry of these settings: MLflow server, DagsHub, or SQLite in the data folder.

    Raises
    ------
    OutsideError
        If it does not answer.
    """
    return Registry(open_client(settings), settings)


def _require(current: ModelVersion | None, expected: ModelVersion | None) -> None:
    if (current and current.version) != (expected and expected.version):
        raise StaleComparisonError(f"Production is {current}, not {expected}")


def _named(version: ModelVersion) -> str:
    return f"Version {version.version} of {version.problem!r} (MLFLOW_TRACKING_URI)"


def _version(entity: Any) -> ModelVersion:
    return ModelVersion(
        problem=entity.name,
        version=int(entity.version),
        # A version that a person made of a file has no run.
        run_id=entity.run_id or "",
        tags=dict(entity.tags),
        created=datetime.fromtimestamp(entity.creation_timestamp / 1000, UTC),
    )
