"""Imports: who imports one room does not wait for the libraries of another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from perennial.settings import PROJECT
from tests.fresh import run_fresh

SCIENCE = ("numpy", "sklearn", "pyarrow")


def _loaded_by(*modules: str) -> set[str]:
    """Return the top-level modules that are loaded after an import in a fresh process."""
    code = (
        f"import json, sys, {', '.join(modules)}\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    return set(json.loads(run_fresh(code)))


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (["perennial.settings"], {"prefect", "mlflow", "pymongo", "bson", *SCIENCE}),
        (
            ["perennial.config"],
            {"prefect", "mlflow", "pymongo", "pandas", "scipy", "matplotlib", *SCIENCE},
        ),
        (["perennial.local.embedded"], {"prefect", "mlflow", "pymongo", *SCIENCE}),
        (["perennial.stores.mongodb"], {"prefect", "mlflow", "tasks", "numpy", "sklearn"}),
        (["perennial.registry.client"], {"prefect", "pymongo", "bson", "deltalake", "tasks"}),
        (["serving.api.app"], {"prefect", "mlflow", "pymongo", "sklearn", "skops", "tasks"}),
        (
            ["flows.retrain", "tasks.orchestration.cli"],
            {"matplotlib", "skops", "deployments", "serving"},
        ),
    ],
    ids=["settings", "config", "embedded", "mongodb", "registry", "serving", "retrain"],
)
def test_importing_a_module_does_not_load(modules: list[str], unwanted: set[str]) -> None:
    loaded = _loaded_by(*modules)

    assert {module.partition(".")[0] for module in modules} <= loaded
    assert loaded & unwanted == set()


def test_checking_problem_files_does_not_wait_for_data_science() -> None:
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from perennial.config import load_problems\n"
        "loaded = load_problems(Path('problems'))\n"
        "assert loaded.problems and not loaded.errors, loaded.errors\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )

    loaded = set(json.loads(run_fresh(code)))

    assert loaded & {"prefect", "mlflow", "pandas", "scipy", *SCIENCE} == set()


@pytest.mark.parametrize("package", ["flows", "serving", "tasks"])
def test_the_libraries_are_told_to_send_no_usage_data_before_they_are_imported(
    package: str,
) -> None:
    names = (
        "DO_NOT_TRACK",
        "MLFLOW_DISABLE_TELEMETRY",
        "PREFECT_SERVER_ANALYTICS_ENABLED",
        "BENTOML_DO_NOT_TRACK",
        "DAGSHUB_DISABLE_ANALYTICS",
    )
    code = (
        f"import os, sys, json, {package}\n"
        "print(json.dumps([dict(os.environ), 'mlflow' in sys.modules, 'prefect' in sys.modules]))"
    )
    bare = {name: value for name, value in os.environ.items() if name not in names}

    environment, mlflow_loaded, prefect_loaded = json.loads(run_fresh(code, bare))
    assert all(environment[name].lower() in {"true", "false"} for name in names)
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert not mlflow_loaded
    assert not prefect_loaded


def test_an_import_upwards_breaks_a_contract_also_where_it_is_lazy(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    rooms = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]
    for room in rooms["root_packages"]:
        shutil.copytree(
            PROJECT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "data")
        )
    history = tmp_path / "perennial" / "registry" / "history.py"
    history.write_text(
        f"{history.read_text()}\n\ndef _steps() -> None:\n"
        "    from tasks.orchestration.steps import Steps\n"
    )

    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "perennial.registry.history -> tasks.orchestration.steps" in done.stdout


_ROOMS = sorted(
    {
        module.parent
        for room in ("perennial", "flows", "tasks", "serving", "deployments", "benchmarks", "tools")
        for module in (PROJECT / room).rglob("*.py")
    }
    | {test.parent for test in (PROJECT / "tests").rglob("test_*.py")}
)


@pytest.mark.parametrize("room", _ROOMS, ids=lambda room: str(room.relative_to(PROJECT)))
def test_a_room_has_at_most_fifteen_modules(room: Path) -> None:
    modules = [module for module in room.glob("*.py") if not module.stem.startswith("__")]
    # A catalogue has a module for each of its things, all alike, and one that finds them.
    is_catalogue = any(module.stem == "catalogue" for module in modules)

    assert len(modules) <= (25 if is_catalogue else 15)


def test_the_map_of_the_house_names_every_room_and_every_module_of_the_library() -> None:
    contributing = (PROJECT / "CONTRIBUTING.md").read_text()
    library = PROJECT / "perennial"
    rooms = {f"`{room.parent.name}/`" for room in library.glob("*/__init__.py")}
    modules = {f"`{module.name}`" for module in library.glob("[!_]*.py")}

    assert {name for name in rooms | modules if name not in contributing} == set()
