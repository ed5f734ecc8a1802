"""The installed package: what `pip install` gives, without the source tree beside it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import Distribution
from pathlib import Path
from zipfile import ZipFile

import pytest

from perennial import __version__
from perennial.settings import PROJECT

_UV = Path(sys.executable).with_name("uv")
# Nothing of the machine's configuration may help: this is somebody's first run.
_CONFIGURATION = re.compile("MONGODB|MLFLOW|PREFECT|DAGSHUB|DATA_|PROBLEMS_|PROJECT_|PYTHON|COV")
_PINNED = re.compile(r"^[\w.\[\]-]+==[^\\\n]+", re.MULTILINE)


def run(*command: str | Path, cwd: Path, status: int = 0) -> str:
    plain = {name: value for name, value in os.environ.items() if not _CONFIGURATION.match(name)}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=plain | {"COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(_UV, "build", "--quiet", "--system-certs", "--wheel", "--out-dir", folder, cwd=PROJECT)
    (built,) = folder.glob("*.whl")
    return built


def make_environment(folder: Path, *requirements: str | Path) -> Path:
    """Return the folder of the programs of a new virtual environment."""
    run(_UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    install = ("pip", "install", "--quiet", "--system-certs", "--python", programs / "python")
    run(_UV, *install, *requirements, cwd=folder)
    return programs


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the package, which finds the libraries of this one."""
    programs = make_environment(tmp_path_factory.mktemp("installed"), "--no-deps", wheel)
    (packages,) = (programs.parent / "lib").glob("python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder, in which a project begins."""
    folder = tmp_path / "my project"
    folder.mkdir()
    return folder


def test_the_package_has_all_code_and_data_and_no_more(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    rooms = ("perennial", "tasks", "flows", "serving", "deployments")
    here = {
        str(Path(folder, file).relative_to(PROJECT))
        for room in rooms
        for folder, _, files in os.walk(PROJECT / room, followlinks=True)
        for file in files
        if not file.endswith(".pyc")
    }

    assert packed == here
    assert {
        "perennial/py.typed",
        "deployments/prefect.yaml",
        "deployments/pools/kubernetes.json",
        "flows/examples/cases/sentiment.yaml",
    } <= packed


def test_the_extras_are_what_the_images_have(programs: Path) -> None:
    (information,) = (programs.parent / "lib").glob("python*/site-packages/perennial-*.dist-info")
    needed = Distribution.at(information).requires or []

    def said(name: str) -> set[str]:
        lines = (PROJECT / name).read_text().replace("ruamel.yaml", "ruamel-yaml").splitlines()
        return {line for line in lines if line and not line.startswith(("#", "-"))}

    for extra in ("dask", "embeddings", "sentences", "serving", "worker", "local"):
        of_extra = {line.partition(";")[0] for line in needed if f"'{extra}'" in line}
        assert of_extra == said(f"requirements-{extra}.in")
    by_itself = {line for line in needed if "extra ==" not in line}
    assert by_itself == said("requirements.in") | said("requirements-local.in")


def test_the_build_is_pinned() -> None:
    required = tomllib.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"]

    assert required
    assert all("==" in requirement for requirement in required)


def test_the_command_says_what_it_can_do_and_which_version_it_is(
    programs: Path, folder: Path
) -> None:
    assert "Run the system" in run(programs / "perennial", "--help", cwd=folder)
    assert run(programs / "perennial", "--version", cwd=folder) == f"perennial {__version__}\n"
    assert "Usage: perennial retrain" in run(programs / "perennial", "retrain", "-h", cwd=folder)
    assert list(folder.iterdir()) == []


def test_problems_are_those_of_the_folder_in_which_the_command_is_typed(
    programs: Path, folder: Path
) -> None:
    said = run(programs / "perennial", "check", cwd=folder, status=1)
    assert said.startswith(f"There is no problem in {folder / 'problems'}; ")

    (folder / "problems").mkdir()
    text = (PROJECT / "problems" / "iris.yaml").read_text()
    (folder / "problems" / "roses.yaml").write_text(text)
    # Folders of the same names as packages of this project are not imported.
    for package in ("tasks", "flows", "deployments"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text("raise ImportError('of somebody else')\n")
    assert "roses.yaml: no mistakes" in run(programs / "perennial", "check", cwd=folder)


def cell(output: str, row: str) -> str:
    """The second cell of the first table row with this name."""
    found = re.search(rf"│ {row} +│ ([^│]+?) +│", output)
    assert found, f"no row {row!r} in\n{output}"
    return found[1]


@pytest.mark.e2e
@pytest.mark.timeout(1200)
def test_a_project_begins_in_an_empty_folder_with_a_good_model_and_an_empty_environment(
    wheel: Path, folder: Path, tmp_path: Path
) -> None:
    pinned = "\n".join(_PINNED.findall((PROJECT / "requirements-local.txt").read_text()))
    (tmp_path / "constraints.txt").write_text(pinned)
    programs = make_environment(tmp_path, "--constraint", tmp_path / "constraints.txt", wheel)

    first = run(programs / "perennial", "quickstart", cwd=folder)
    assert "25,000 documents in perennial.reviews, 25,000 of them new" in first
    assert "sentiment: promoted, Production is now version 1" in first
    assert float(cell(first, "accuracy")) >= 0.90
    assert float(cell(first, "f1")) >= 0.90
    assert "Answers of version 1" in first
    assert {path.name for path in folder.iterdir()} == {".data", "problems"}

    renamed = folder.rename(tmp_path / "moved")
    second = run(programs / "perennial", "quickstart", cwd=renamed)
    assert "0 of them new" in second
    assert "sentiment: nothing new, nothing to do; Production stays as it is" in second
    assert "Task run 'train" not in second
    assert not re.search("Traceback|Error", first + second)
    assert "Answers of version 1" in second
    third = run(programs / "perennial", "retrain", "--force", cwd=renamed)
    assert "Production stays version 1" in third or "Production is now version 2" in third
    assert not folder.exists()
