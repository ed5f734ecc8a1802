"""Tidying a real MLflow: what goes is gone, and what stays works as before."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from flows.rollback import rollback
from flows.tidy import tidy
from perennial.config.problem import Problem
from perennial.registry.client import Registry
from perennial.registry.history import Note
from perennial.settings import Settings
from tests.small_models import fit_small, register_small

pytestmark = pytest.mark.usefixtures("prefect_api")
DAY = timedelta(days=1)
VERSIONS = 8


@pytest.fixture(scope="module")
def eight_versions(
    tmp_path_factory: pytest.TempPathFactory, snippets: Sequence[tuple[str, int]]
) -> Path:
    """A folder with an MLflow that has eight versions, none of them Production."""
    folder = tmp_path_factory.mktemp("eight")
    register_small(folder, [fit_small(snippets[:100])] * VERSIONS)
    return folder


@pytest.fixture
def reviews(
    write_problem: Callable[..., Problem],
    eight_versions: Path,
    machine: Settings,
    registry: Registry,
) -> Problem:
    """A problem with eight versions, of which 2 and 4 were Production and 4 is."""
    shutil.copytree(eight_versions, machine.data_dir, dirs_exist_ok=True)
    for number in (2, 4):
        registry.promote(
            registry.version("reviews", number),
            expected=registry.production("reviews"),
            note=Note(why="better"),
        )
    return write_problem(retention={"versions": 2})


def files_of(machine: Settings) -> set[Path]:
    folder = machine.data_dir / "mlflow" / "artifacts"
    return {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}


def looked_at(registry: Registry, client: MlflowClient, days: int) -> str:
    """Return the id of a run that watched Production so many days ago, with a file."""
    with registry.run("reviews", "monitor reviews", tags={"kind": "monitor"}) as run_id:
        registry.attach(run_id, {"report.html": b"<p>no drift</p>"})
    began = int((time.time() - days * 86_400) * 1000)
    client.update_run(run_id)
    _set_start(client, run_id, began)
    return run_id


def _set_start(client: MlflowClient, run_id: str, began: int) -> None:
    """Let a run have begun earlier, which MLflow has no call for."""
    import sqlite3

    database = client.tracking_uri.removeprefix("sqlite:///")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE runs SET start_time = ? WHERE run_uuid = ?", (began, run_id))


def test_what_nothing_needs_is_removed_for_good_and_the_rest_works_on(
    reviews: Problem, machine: Settings, registry: Registry, client: MlflowClient
) -> None:
    old, young = looked_at(registry, client, 200), looked_at(registry, client, 5)
    before = files_of(machine)

    said = tidy("reviews", dry_run=True)

    assert [each.version for each in said.versions] == [1, 3, 5, 6]
    assert [each.run_id for each in said.runs] == [old]
    assert files_of(machine) == before
    assert len(registry.versions("reviews")) == VERSIONS

    tidy("reviews")

    assert {each.version for each in registry.versions("reviews")} == {2, 4, 7, 8}
    everything = client.search_runs(
        [client.get_experiment_by_name("reviews").experiment_id], run_view_type=ViewType.ALL
    )
    assert old not in {each.info.run_id for each in everything}
    assert young in {each.info.run_id for each in everything}
    gone = {each.model_id for each in said.versions} | {old}
    assert not [file for file in files_of(machine) if gone.intersection(file.parts)]
    # Whatever stays can be loaded; Production can go back to what it was.
    for each in registry.versions("reviews"):
        registry.load(each)
    rollback("reviews", why="worse since")
    production = registry.production("reviews")
    assert production is not None
    assert production.version == 2
    assert tidy("reviews").is_empty


def test_a_version_that_a_person_wants_to_keep_stays(
    reviews: Problem, registry: Registry, client: MlflowClient
) -> None:
    client.set_model_version_tag("reviews", "1", "perennial.keep", "for the audit")

    tidy("reviews")

    assert {each.version for each in registry.versions("reviews")} == {1, 2, 4, 7, 8}


def test_a_tidying_that_was_ended_in_the_middle_is_completed_by_the_next_one(
    reviews: Problem, machine: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    remove = Registry.remove_model

    def killed(self: Registry, model_id: str) -> None:
        if len(removed) == 2:
            raise KeyboardInterrupt
        removed.append(model_id)
        remove(self, model_id)

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "remove_model", killed)
        with pytest.raises(KeyboardInterrupt):
            tidy("reviews")
    assert {each.version for each in registry.versions("reviews")} >= {2, 4, 7, 8}

    tidy("reviews")

    assert {each.version for each in registry.versions("reviews")} == {2, 4, 7, 8}


def test_a_model_that_never_became_a_version_goes_after_a_day(
    reviews: Problem, machine: Settings, registry: Registry, client: MlflowClient
) -> None:
    orphan = registry.version("reviews", 8).model_id
    client.delete_model_version("reviews", "8")

    assert tidy("reviews").models == ()
    _store_earlier(client, str(orphan), days=2)
    assert tidy("reviews").models == (orphan,)

    assert orphan not in registry.stored_models("reviews")
    assert not [file for file in files_of(machine) if str(orphan) in file.parts]


def _store_earlier(client: MlflowClient, model_id: str, days: int) -> None:
    import sqlite3

    database = client.tracking_uri.removeprefix("sqlite:///")
    moment = int((time.time() - days * 86_400) * 1000)
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE logged_models SET creation_timestamp_ms = ? WHERE model_id = ?",
            (moment, model_id),
        )


def test_nothing_is_left_in_the_database_of_what_was_removed(
    reviews: Problem, machine: Settings, registry: Registry
) -> None:
    def counts() -> dict[str, int]:
        file = machine.data_dir / "mlflow" / "mlflow.db"
        with closing(sqlite3.connect(file)) as database:
            return {
                name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
                for name in ("model_versions", "model_version_tags", "inputs", "runs")
            }

    before = counts()
    leftovers = tidy("reviews")
    after = counts()

    assert [version.version for version in leftovers.versions] == [1, 3, 5, 6]
    assert after["model_versions"] == before["model_versions"] - 4
    share = after["model_versions"] / before["model_versions"]
    for name in ("model_version_tags", "inputs"):
        assert after[name] <= before[name] * share + 8
    tidy("reviews")
    assert counts() == after | {"runs": counts()["runs"]}


def test_the_number_of_a_version_that_was_removed_is_not_given_again(
    write_problem: Callable[..., Problem], client: MlflowClient
) -> None:
    write_problem(retention={"versions": 2})
    client.create_registered_model("reviews")
    for _ in range(3):
        client.create_model_version("reviews", "source", tags={"perennial.verdict": "kept"})
    for number in ("2", "3"):
        client.delete_model_version("reviews", number)

    tidy("reviews")

    assert int(client.create_model_version("reviews", "source").version) == 4
    with closing(sqlite3.connect(client.tracking_uri.removeprefix("sqlite:///"))) as database:
        tags = database.execute("SELECT DISTINCT version FROM model_version_tags").fetchall()
        versions = database.execute("SELECT version FROM model_versions").fetchall()
    assert tags == [(1,)]
    assert sorted(versions) == [(1,), (3,), (4,)]
