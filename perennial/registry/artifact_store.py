"""The files of the embedded MLflow: beside its database, whatever their folder is called by then.

Its database names them by addresses such as ``mlflow-artifacts:/RUN/artifacts``, as the database of
an MLflow server does: relative to a folder that only the reader knows. A server is told that folder
when it starts; here it is the folder ``artifacts`` beside the database. So a data folder goes on
working when it is renamed or copied, with and without the server of ``make up``.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from perennial.settings import Settings

ROOT = "mlflow-artifacts:/"
_SCHEME = ROOT.partition(":")[0]
# The columns in which MLflow keeps where files are.
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
# The folders that this project, and MLflow by itself, gave a place on the disk.
_ABSOLUTE = re.compile(r"(?:file:/*)?/.*/(?:mlflow/artifacts|mlruns)(?:/(?P<rest>.*))?")
_SECONDS = 60.0


def embedded_database(settings: Settings) -> Path:
    """Return the file of the embedded MLflow's database."""
    return settings.data_dir / "mlflow" / "mlflow.db"


def folder_beside(database: Path) -> Path:
    """Return the folder of the files that belong to a database."""
    return database.with_name("artifacts")


def folder_here(tracking_uri: str, settings: Settings) -> Path | None:
    """Return the folder of the files if it is on this machine, with or without a server."""
    if tracking_uri.startswith("sqlite:"):
        folder = folder_beside(database_of(tracking_uri))
    else:
        folder = folder_beside(embedded_database(settings))
    return folder if folder.is_dir() else None


def remove_empty(folder: Path, before: datetime) -> None:
    """Remove the folders of models and runs that MLflow has left empty before a moment."""
    for place in (folder, folder / "models"):
        for found in place.iterdir() if place.is_dir() else ():
            # One that has files is refused, and one that is gone was removed by another tidying.
            with suppress(OSError):
                if found.is_dir() and found.stat().st_mtime < before.timestamp():
                    found.rmdir()


def database_of(tracking_uri: str) -> Path:
    """Return the file of the database at a ``sqlite:`` address."""
    from sqlalchemy.engine import make_url

    return Path(make_url(tracking_uri).database or "").absolute()


def resolve_beside_database() -> None:
    """Let this process's MLflow find the files of a SQLite database beside it.

    Without a server MLflow itself cannot resolve these addresses; with one it goes on doing so.
    """
    from mlflow.store.artifact import artifact_repository_registry as known

    known._artifact_repository_registry.register(_SCHEME, _repository)  # noqa: SLF001


def _repository(
    artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
) -> object:
    import mlflow
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

    tracking = tracking_uri or mlflow.get_tracking_uri()
    if not tracking.startswith("sqlite:"):
        return MlflowArtifactsRepository(artifact_uri, tracking, registry_uri)
    within = urlsplit(artifact_uri).path.strip("/")
    folder = folder_beside(database_of(tracking)) / within
    return LocalArtifactRepository(folder.as_uri(), tracking, registry_uri)


def make_relative(database: Path) -> None:
    """Replace the absolute addresses that earlier versions stored, all of them or none.

    Files that are only where the address says stay there, and so does their address.
    """
    if not (database.exists() and os.access(database, os.W_OK)):
        return
    # MLflow says itself what is wrong with a database that has other tables than its own.
    with closing(sqlite3.connect(database, timeout=_SECONDS, isolation_level=None)) as connection:
        if not _has_absolute(connection):
            return
        connection.execute("BEGIN IMMEDIATE")
        for table, column in _COLUMNS:
            values = connection.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()  # noqa: S608
            for (address,) in values:
                if (relative := _relative(address, folder_beside(database))) is not None:
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? WHERE {column} = ?",  # noqa: S608
                        (relative, address),
                    )
        connection.execute("COMMIT")


def _has_absolute(connection: sqlite3.Connection) -> bool:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not tables.issuperset(table for table, _ in _COLUMNS):
        return False
    locations = connection.execute("SELECT artifact_location FROM experiments")
    return any(_ABSOLUTE.fullmatch(location or "") for (location,) in locations)


def _relative(address: str | None, folder: Path) -> str | None:
    """Return an address without its folder, or None if it shall stay as it is."""
    found = _ABSOLUTE.fullmatch(address or "")
    if found is None or address is None:
        return None
    within = unquote(found["rest"] or "")
    there = Path(unquote(urlsplit(address).path))
    is_elsewhere = there.is_dir() and not (folder / within).is_dir()
    return None if is_elsewhere else f"{ROOT}{found['rest'] or ''}"
