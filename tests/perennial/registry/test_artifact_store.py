"""The files of the embedded MLflow: found wherever their folder is by then."""

from __future__ import annotations

import shutil
import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from perennial.registry.artifact_store import make_relative, remove_empty
from perennial.registry.client import open_registry
from perennial.settings import Settings

_BEFORE = Path(__file__).parents[2] / "data" / "before_the_library" / "data.tar.xz"
_BORN = Path("/srv/perennial")
_COLUMNS = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "logged_models": ["artifact_location"],
    "model_versions": ["source", "storage_location"],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the models of before the library, whose database names another folder."""
    folder = tmp_path / "unpacked"
    with tarfile.open(_BEFORE) as archive:
        members = [each for each in archive if each.name.startswith(".data/mlflow")]
        archive.extractall(folder, members, filter="data")
    return folder


def settings_of(folder: Path) -> Settings:
    return Settings(data_dir=folder / ".data")


def addresses(settings: Settings) -> list[str]:
    """Every address of files in the database, as it is stored."""
    with closing(sqlite3.connect(settings.data_dir / "mlflow" / "mlflow.db")) as connection:
        return [
            address
            for table, columns in _COLUMNS.items()
            for column in columns
            for (address,) in connection.execute(f"SELECT {column} FROM {table}")
        ]


def fetched(settings: Settings) -> dict[str, int]:
    """Fetch every version with the problem that was kept with it; problem -> number of versions."""
    registry, found = open_registry(settings), {}
    for problem in registry.problems():
        number = 0
        while version := registry.find(problem.problem, number + 1):
            number += 1
            assert registry.fetch(version).sha256 == version.sha256
            assert registry.attached(version.run_id, "problem.json")
        found[problem.problem] = number
    return found


def test_folders_that_were_left_empty_go_and_others_stay(tmp_path: Path) -> None:
    empty = [tmp_path / "run", tmp_path / "models" / "m-1"]
    full = [tmp_path / "other", tmp_path / "models" / "m-2"]
    for folder in (*empty, *full):
        folder.mkdir(parents=True)
    for folder in full:
        (folder / "file").touch()
    now = datetime.now(UTC)

    remove_empty(tmp_path, now - timedelta(hours=1))
    assert all(folder.is_dir() for folder in empty)

    remove_empty(tmp_path, now + timedelta(hours=1))
    assert not any(folder.exists() for folder in empty)
    assert all(folder.is_dir() for folder in full)
    remove_empty(tmp_path / "nowhere", now)


def test_every_version_from_before_is_found_when_its_folder_was_renamed_and_copied(
    project: Path, tmp_path: Path
) -> None:
    every = {"flowers": 3, "reviews": 5, "snippets": 5, "sorts": 5}

    assert fetched(settings_of(project)) == every
    renamed = project.rename(tmp_path / "a name #1, with 100%20 signs (ü)")
    assert fetched(settings_of(renamed)) == every
    copy = shutil.copytree(renamed, tmp_path / "copy")
    shutil.rmtree(renamed)
    assert fetched(settings_of(copy)) == every
    assert not any(address.startswith(("/", "file:")) for address in addresses(settings_of(copy)))
    assert not _BORN.exists()
    assert not project.exists()


def test_what_is_made_after_a_move_is_in_the_folder_and_moves_with_it(
    project: Path, tmp_path: Path
) -> None:
    before = {path.name for path in (project / ".data/mlflow/artifacts").iterdir()}
    registry = open_registry(settings_of(project))
    with registry.run("reviews", "retrain reviews") as run_id:
        registry.attach(run_id, {"holdout.npz": b"predictions"})

    new = {path.name for path in (project / ".data/mlflow/artifacts").iterdir()} - before
    assert new == {run_id}
    renamed = project.rename(tmp_path / "renamed")
    registry = open_registry(settings_of(renamed))
    assert registry.attached(run_id, "holdout.npz") == b"predictions"
    with registry.run("reviews", "retrain reviews") as second:
        registry.attach(second, {"holdout.npz": b"others"})
    assert registry.attached(second, "holdout.npz") == b"others"
    assert not project.exists()


def test_a_copy_and_its_original_go_separate_ways(project: Path, tmp_path: Path) -> None:
    assert fetched(settings_of(project))
    copy = shutil.copytree(project, tmp_path / "copy")
    files = sorted(project.rglob("*"))

    registry = open_registry(settings_of(copy))
    with registry.run("reviews", "retrain reviews") as run_id:
        registry.attach(run_id, {"file": b"content"})

    assert (copy / ".data/mlflow/artifacts" / run_id / "artifacts/file").read_bytes() == b"content"
    assert sorted(project.rglob("*")) == files


def test_files_that_are_only_where_the_database_says_stay_there(tmp_path: Path) -> None:
    """A database that was told to be elsewhere (MLFLOW_TRACKING_URI) has its files in DATA_DIR."""
    old = tmp_path / "data" / "mlflow" / "artifacts"
    settings = Settings(
        data_dir=tmp_path / "data", mlflow_tracking_uri=f"sqlite:///{tmp_path / 'db' / 'mlflow.db'}"
    )
    (tmp_path / "db").mkdir()
    registry = open_registry(settings)
    with registry.run("reviews", "retrain reviews") as run_id:
        registry.attach(run_id, {"file": b"content"})
    shutil.move(tmp_path / "db" / "artifacts", old)
    with closing(sqlite3.connect(tmp_path / "db" / "mlflow.db")) as connection, connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            connection.execute(
                f"UPDATE {table} SET {column} = replace({column}, 'mlflow-artifacts:', ?)",
                (old.as_uri(),),
            )

    assert open_registry(settings).attached(run_id, "file") == b"content"


def test_a_database_that_is_not_there_or_is_not_mlflows_is_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    make_relative(database)
    assert not database.exists()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE experiments (artifact_location TEXT)")
    content = database.read_bytes()

    make_relative(database)

    assert database.read_bytes() == content
