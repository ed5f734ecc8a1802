"""`perennial upgrade` brings what is stored to this version, or refuses it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deployments.commands.upgrade import run_upgrade
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import OutsideError, ProblemError
from perennial.registry.client import Registry, open_registry
from perennial.settings import Settings
from perennial.stores.snapshots.snapshot import Snapshot, from_json
from tests.schemas import make_mlflow_earlier, make_newer, make_prefect_earlier

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture
def stored(machine: Settings, empty_prefect: Path) -> Settings:
    """A machine that has databases of MLflow and of the Prefect server of `perennial up`."""
    home = machine.data_dir / "local" / "prefect"
    home.mkdir(parents=True)
    shutil.copyfile(empty_prefect, home / "prefect.db")
    return machine


def mlflow_of(settings: Settings) -> Path:
    return settings.data_dir / "mlflow" / "mlflow.db"


def prefect_of(settings: Settings) -> Path:
    return settings.data_dir / "local" / "prefect" / "prefect.db"


def test_databases_of_earlier_libraries_are_brought_to_those_that_are_installed(
    stored: Settings,
    client: MlflowClient,
    problem: Problem,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_mlflow_earlier(mlflow_of(stored))
    make_prefect_earlier(prefect_of(stored))

    run_upgrade()

    said = capsys.readouterr().out
    assert said.count(" went from revision ") == 2
    assert "The files of 1 problem, 0 snapshots and 0 versions can be read." in said
    # Whoever regrets it has everything as it was.
    for file in (mlflow_of(stored), prefect_of(stored)):
        assert file.with_name(f"{file.name}.before-upgrade").exists()

    client.create_registered_model("reviews")
    client.create_model_version("reviews", "file:///nowhere")
    run_upgrade()

    said = capsys.readouterr().out
    assert said.count(" is current.") == 2
    # What carries no number is of the first format.
    assert "0 snapshots and 1 version can be read." in said


@pytest.mark.parametrize("file", [mlflow_of, prefect_of])
def test_a_database_that_a_newer_library_has_changed_is_refused_and_nothing_is_changed(
    stored: Settings, problem: Problem, file: Callable[[Settings], Path]
) -> None:
    make_mlflow_earlier(mlflow_of(stored))
    make_newer(file(stored))
    before = {name: name.read_bytes() for name in (mlflow_of(stored), prefect_of(stored))}

    with pytest.raises(
        OutsideError, match=r"from-the-future, which the installed .* does not know"
    ):
        run_upgrade()

    assert {name: name.read_bytes() for name in before} == before


def test_every_other_command_says_that_the_tables_are_of_another_version(stored: Settings) -> None:
    make_newer(mlflow_of(stored))

    with pytest.raises(
        OutsideError, match=r"tables of another version of MLflow .*`perennial upgr"
    ):
        open_registry(stored)


def test_a_problem_file_of_a_newer_format_is_refused_before_its_keys_are(
    write_problem: Callable[..., Problem], machine: Settings
) -> None:
    assert write_problem(format=1).digest == write_problem().digest
    file = machine.problems_dir / "reviews.yaml"
    file.write_text(f"{file.read_text()}\nformat: 2\nquantum: {{bits: 3}}\n")

    with pytest.raises(ProblemError, match=r"has format 2, and Perennial .* reads formats up to 1"):
        load_problem(file)


def test_a_snapshot_of_a_newer_format_is_refused() -> None:
    record = Snapshot("reviews", 3, "d", 10, "/data/snapshots/reviews").as_json()
    assert json.loads(record)["format"] == 2
    assert from_json("reviews", "/data", record).version == 3
    earlier: dict[str, Any] = json.loads(record)
    del earlier["format"]
    assert from_json("reviews", "/data", json.dumps(earlier)).version == 3

    with pytest.raises(OutsideError, match=r"Snapshot 3 of 'reviews' at /data .* has format 9"):
        from_json("reviews", "/data", json.dumps(earlier | {"format": 9}))


def test_a_version_of_a_newer_format_is_neither_loaded_nor_upgraded(
    stored: Settings, registry: Registry, client: MlflowClient, problem: Problem
) -> None:
    client.create_registered_model("reviews")
    client.create_model_version("reviews", "file:///nowhere", tags={"perennial.format": "2"})

    with pytest.raises(
        OutsideError, match=r"Version 1 of 'reviews' .* has format 2, and Perennial"
    ):
        registry.load(registry.version("reviews", 1))
    with pytest.raises(OutsideError, match="Version 1 of 'reviews' has format 2"):
        run_upgrade()
