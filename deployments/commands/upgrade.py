"""The command `perennial upgrade`: what an earlier version has stored becomes that of this one.

Databases of MLflow and Prefect get the tables of the installed libraries. Problem files, snapshots
and versions carry the number of their format: this code reads all earlier ones, so that nothing of
them has to be rewritten, and what a newer one has written is refused before anything is changed.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from rich.console import Console

import perennial
from deployments.local import is_up
from perennial.commands import command, counted
from perennial.config.loader import load_problems
from perennial.errors import OutsideError
from perennial.formats import VERSION, require_readable
from perennial.libraries import configured_prefect_api
from perennial.local import embedded
from perennial.local.python import python_environment
from perennial.redaction import redact
from perennial.registry.artifact_store import database_of, embedded_database
from perennial.registry.client import open_registry
from perennial.registry.storage import database
from perennial.registry.storage.database import Schema
from perennial.settings import Settings, get_settings
from perennial.stores.snapshots.store import SnapshotStore

_COPY = ".before-upgrade"
_SECONDS = 600.0


def run_upgrade() -> None:
    """Bring everything that is stored to this version, and say what was done.

    Raises
    ------
    OutsideError
        If something was written by a newer version, is in use, or cannot be brought to this one.
    """
    settings = get_settings()
    _require_rest(settings)
    stores = [*_mlflow(settings), *_prefect(settings)]
    for store in stores:
        store.require_known()
    for store in stores:
        _say(store.upgrade())
    _look_at_formats(settings)
    _say(f"Everything is that of Perennial {perennial.__version__}.")


def _require_rest(settings: Settings) -> None:
    """Refuse to change databases that programs have open."""
    if is_up(settings):
        raise OutsideError(f"The system runs; end it by `{command('down')}` before an upgrade.")
    if embedded.is_running(settings, "prefect"):
        raise OutsideError(
            f"A flow runs on this machine and uses {settings.data_dir}; wait until it has ended."
        )


class _Store:
    """A database of a library.

    Parameters
    ----------
    name : str
        Whose database it is, and where, as the beginning of a sentence.
    file : Path or None
        Its file, where it is one.
    """

    library: str

    def __init__(self, name: str, file: Path | None) -> None:
        self._name, self._file = name, file

    def schema(self) -> Schema:
        """Return the revision of its tables."""
        raise NotImplementedError

    def bring(self) -> None:
        """Bring its tables to the installed library."""
        raise NotImplementedError

    def require_known(self) -> None:
        """Refuse a database that a newer version of its library has changed."""
        schema = self.schema()
        if not schema.is_known:
            raise OutsideError(
                f"{self._name} has the revision {schema.found}, which the installed "
                f"{self.library} does not know: a newer one has written it. Install that one, or "
                f"restore a backup of before (`{command('restore')}`); nothing was changed."
            )

    def upgrade(self) -> str:
        """Bring it to this version, with a copy of its file beside it; say what was done."""
        before = self.schema()
        if before.is_current:
            return f"{self._name} is current."
        if self._file is not None:
            _copy(self._file)
        self.bring()
        after = self.schema()
        if not after.is_current:
            raise OutsideError(f"{self._name} still has the revision {after.found}.")
        kept = f"; {self._file.name}{_COPY} is as it was" if self._file else ""
        return f"{self._name} went from revision {before.found} to {after.found}{kept}."


class _MlflowStore(_Store):
    library = "MLflow"

    def __init__(self, name: str, file: Path | None, address: str) -> None:
        super().__init__(name, file)
        self._address = address

    def schema(self) -> Schema:
        return database.schema_of(self._address)

    def bring(self) -> None:
        database.upgrade(self._address)


class _PrefectStore(_Store):
    library = "Prefect"

    def __init__(self, file: Path) -> None:
        super().__init__(f"Prefect's database {file}", file)
        self._path = file

    def schema(self) -> Schema:
        from alembic.script import ScriptDirectory
        from prefect.server.database import _migrations

        folder = Path(next(iter(_migrations.__path__)))
        script = ScriptDirectory(folder, version_locations=[folder / "versions" / "sqlite"])
        with closing(sqlite3.connect(self._path)) as connection:
            (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        known = {each.revision for each in script.walk_revisions()}
        return Schema(str(found), str(script.get_current_head()), found in known)

    def bring(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
            env={
                **os.environ,
                **python_environment(get_settings()),
                "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{self._path}",
            },
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode:
            last = redact((done.stderr or done.stdout).strip().splitlines()[-1])
            raise OutsideError(f"{self._name} cannot be upgraded: {last}")


def _mlflow(settings: Settings) -> Iterator[_Store]:
    """Yield MLflow's databases that can be reached: the embedded one, and that of a server."""
    server = settings.mlflow_tracking_uri or settings.dagshub_repo_name
    if server is None:
        file = embedded_database(settings)
    elif server.startswith("sqlite:"):
        file = database_of(server)
    elif settings.mlflow_backend_store_uri is None:
        _say(
            "MLflow's server has a database of its own: `mlflow db upgrade` where it runs, or give "
            "MLFLOW_BACKEND_STORE_URI here."
        )
        return
    else:
        address = settings.mlflow_backend_store_uri.get_secret_value()
        yield _MlflowStore("The database of MLflow's server", None, address)
        return
    if file.exists():
        yield _MlflowStore(f"MLflow's database {file}", file, f"sqlite:///{file}")


def _prefect(settings: Settings) -> Iterator[_Store]:
    """Yield the databases of the Prefect servers of this machine."""
    if configured_prefect_api() is not None:
        _say("Prefect's server (PREFECT_API_URL) upgrades its database when it starts.")
    for folder in (settings.data_dir / "local", settings.data_dir):
        file = folder / "prefect" / "prefect.db"
        if file.exists():
            yield _PrefectStore(file)


def _copy(file: Path) -> None:
    """Copy a database of SQLite beside itself, in place of an earlier copy."""
    target = file.with_name(file.name + _COPY)
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


def _look_at_formats(settings: Settings) -> None:
    """Read the formats of all that is ours, each of which refuses a newer one."""
    loaded = load_problems(settings.problems_dir)
    for error in loaded.errors.values():
        _say(f"Left out: {str(error).splitlines()[0]}")
    names = [problem.name for problem in loaded.problems]
    snapshots = sum(len(tuple(SnapshotStore(name, settings).snapshots())) for name in names)
    versions = _versions(settings, names)
    _say(
        f"The files of {counted(len(names), 'problem')}, {counted(snapshots, 'snapshot')} and "
        f"{counted(versions, 'version')} can be read."
    )


def _versions(settings: Settings, names: Sequence[str]) -> int:
    registry, count = open_registry(settings), 0
    for name in names:
        for version in registry.versions(name):
            require_readable(f"Version {version.version} of {name!r}", version.format, VERSION)
            count += 1
    return count


def _say(sentence: str) -> None:
    Console().print(sentence, highlight=False, soft_wrap=True, markup=False)
