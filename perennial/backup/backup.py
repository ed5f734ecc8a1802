"""What a backup holds, from where it comes, and where a restore puts it.

Documents and everything else of ours in MongoDB, snapshots, the models with their runs and history
in an embedded MLflow, and the files of the problems. An MLflow server keeps its data in a database
and a storage of its own, which are saved with its own tools; the manifest says so.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import perennial
from perennial.backup.archive import FORMAT, Archive, Manifest, is_empty
from perennial.backup.collections import (
    require_no_documents,
    restore_collections,
    save_collection,
    saved_servers,
)
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.redaction import split_credentials
from perennial.registry import artifact_store
from perennial.settings import Settings
from perennial.stores.mongodb import by_server, connect
from perennial.stores.snapshots.kept_counts import COUNTS

_PROBLEMS, _SNAPSHOTS = "problems", "snapshots"
_MLFLOW_DATABASE, _MLFLOW_FILES = "mlflow/mlflow.db", "mlflow/artifacts"
# Collections that Perennial writes; a lease is of a process that runs now.
_OURS = re.compile(
    r"perennial_(?!leases)\w+|feedback(_decisions)?|predictions|failures|signing_keys|.+_scores"
)
_RUNS = "the history of Prefect's runs: deployments are made anew by `perennial apply`"


@dataclass(frozen=True)
class Counts:
    """What a backup or a restore has copied.

    Attributes
    ----------
    documents : int
        Documents of MongoDB, of all collections.
    files, size : int
        Files of the archive, and their bytes.
    """

    documents: int
    files: int
    size: int


def save(
    archive: Archive,
    problems: Sequence[Problem],
    settings: Settings,
    at: datetime,
    *,
    with_documents: bool | None,
    log_database: str,
) -> tuple[Manifest, Counts]:
    """Save everything; the caller lets no retraining run meanwhile.

    Parameters
    ----------
    archive : Archive
        Where.
    problems : sequence of Problem
        Of which problems.
    settings : Settings
        Where everything is.
    at : datetime
        The time of the backup.
    with_documents : bool or None
        Whether the labelled documents are saved, too, and not only what is made of them; None for
        those of an embedded server only, which has no backups of its own.
    log_database : str
        The database of the prediction log.

    Raises
    ------
    OutsideError
        If something cannot be read, or the archive cannot be written.
    """
    left_out = [_RUNS]
    for problem in problems:
        archive.add_folder(
            f"{_SNAPSHOTS}/{problem.name}",
            f"{settings.snapshots_uri}/{problem.name}",
            settings,
            # They are made anew of the snapshots.
            leaving_out=COUNTS,
        )
        with settings.problem_file(problem.name).open("rb") as file:
            archive.add(f"{_PROBLEMS}/{problem.name}.yaml", file)
    _save_mlflow(archive, settings, left_out)
    documents = _save_mongodb(
        archive, problems, settings, log_database, left_out, with_documents=with_documents
    )
    manifest = archive.complete(
        Manifest(
            format=FORMAT,
            version=perennial.__version__,
            at=at,
            problems=tuple(problem.name for problem in problems),
            left_out=tuple(left_out),
            files={},
        )
    )
    return manifest, _counts(manifest, documents)


def restore(archive: Archive, settings: Settings) -> tuple[Manifest, Counts]:
    """Restore everything of an archive where there is nothing yet.

    Raises
    ------
    OutsideError
        If a file of the archive is damaged or missing, or if there is something already where it
        would be restored; then nothing is written.
    """
    manifest = archive.manifest()
    archive.verify(manifest)
    with ExitStack() as stack:
        clients = {
            server: stack.enter_context(connect(settings, server))
            for server in saved_servers(manifest)
        }
        _require_nothing(settings, manifest)
        for server, client in clients.items():
            require_no_documents(client, manifest, server)
        for folder, address in _places(settings).items():
            archive.extract(_below(manifest, folder), folder, address, settings)
        for name in _below(manifest, _PROBLEMS):
            target = settings.problems_dir / Path(name).name
            if not target.exists():
                archive.extract([name], _PROBLEMS, str(settings.problems_dir), settings)
        documents = sum(
            restore_collections(archive, manifest, client, server)
            for server, client in clients.items()
        )
    return manifest, _counts(manifest, documents)


def _counts(manifest: Manifest, documents: int) -> Counts:
    return Counts(
        documents, len(manifest.files), sum(each.size for each in manifest.files.values())
    )


def _places(settings: Settings) -> dict[str, str]:
    """Return where the folders of an archive are restored."""
    database = artifact_store.embedded_database(settings)
    return {
        _SNAPSHOTS: settings.snapshots_uri,
        _MLFLOW_FILES: str(artifact_store.folder_beside(database)),
        _MLFLOW_DATABASE.rpartition("/")[0]: str(database.parent),
    }


def _below(manifest: Manifest, folder: str) -> list[str]:
    """Return the files of a folder of an archive that are in no folder with a place of its own."""
    if folder == _MLFLOW_DATABASE.rpartition("/")[0]:
        return [name for name in manifest.files if name == _MLFLOW_DATABASE]
    return [name for name in manifest.files if name.startswith(f"{folder}/")]


def _require_nothing(settings: Settings, manifest: Manifest) -> None:
    for folder, address in _places(settings).items():
        if _below(manifest, folder) and not is_empty(address, settings):
            raise OutsideError(
                f"There is something at {address}, and nothing was restored; name another "
                "DATA_DIR and DATA_URI, or move it away."
            )


def _save_mlflow(archive: Archive, settings: Settings, left_out: list[str]) -> None:
    server = settings.mlflow_tracking_uri or settings.dagshub_repo_name
    if server is None:
        database = artifact_store.embedded_database(settings)
    elif server.startswith("sqlite:"):
        database = artifact_store.database_of(server)
    else:
        shown = split_credentials(server).uri
        left_out.append(
            f"models, runs and history in MLflow at {shown}: save its database and its storage"
        )
        return
    if not database.exists():
        return
    with TemporaryDirectory() as scratch:
        copy = Path(scratch) / "mlflow.db"
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        with copy.open("rb") as file:
            archive.add(_MLFLOW_DATABASE, file)
    archive.add_folder(_MLFLOW_FILES, str(artifact_store.folder_beside(database)), settings)


def _save_mongodb(
    archive: Archive,
    problems: Sequence[Problem],
    settings: Settings,
    log_database: str,
    left_out: list[str],
    *,
    with_documents: bool | None,
) -> int:
    """Save collections of every server, add what is left out, and return how many documents."""
    known = {problem.name: problem.source for problem in problems}
    # The prediction log is saved also where every problem has a MongoDB of its own.
    servers: dict[str | None, list[str]] = {
        None: [],
        **by_server(settings, {problem.name: problem for problem in problems}),
    }
    count = 0
    for server, names in servers.items():
        is_embedded = server is None and settings.mongodb_uri is None
        with_its = is_embedded if with_documents is None else with_documents
        sources = {(known[name].database, known[name].collection) for name in names}
        databases = {database for database, _ in sources}
        if not server:
            databases.add(log_database)
        with connect(settings, server) as client:
            for database in sorted(databases):
                for name in sorted(client[database].list_collection_names()):
                    if _OURS.fullmatch(name) or (with_its and (database, name) in sources):
                        count += save_collection(archive, client[database][name], server)
        if not with_its and names:
            left_out.append(
                f"the labelled documents of {', '.join(names)}, which MongoDB's own backups hold"
            )
    return count
