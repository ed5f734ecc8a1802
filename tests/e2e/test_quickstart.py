"""The commands of the README, as whole processes in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pytest

from perennial.settings import PROJECT
from tests.conftest import copy_prefect

pytestmark = pytest.mark.e2e

# Nothing of the machine's configuration may help: this is somebody's first run.
_CONFIGURATION = re.compile("MONGODB|MLFLOW|PREFECT|DAGSHUB|DATA_|PROBLEMS_|DO_NOT_TRACK")


@pytest.fixture(scope="module")
def empty_machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody who has configured nothing, with an empty data folder."""
    plain = {name: value for name, value in os.environ.items() if not _CONFIGURATION.match(name)}
    return plain | {"DATA_DIR": str(tmp_path_factory.mktemp("data")), "COLUMNS": "120"}


def run_flow(
    environment: dict[str, str], *arguments: str, cwd: Path = PROJECT, status: int = 0
) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        cwd=cwd,
        env=environment | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.mark.timeout(900)
def test_the_commands_of_the_readme_work_as_they_stand_there(
    empty_machine: dict[str, str], empty_prefect: Path, tmp_path: Path
) -> None:
    readme = (PROJECT / "README.md").read_text()
    commands = re.findall(r"^ *\.venv/bin/perennial (.+)$", readme, re.MULTILINE)
    reviews = "".join(
        # So short that two of them are no near-copies.
        f'"{word} film {number}",{label}\n'
        for number in range(200)
        for word, label in (("wonderful", 1), ("terrible", 0))
    )
    (tmp_path / "reviews.csv").write_text("text,label\n" + reviews)
    problems = tmp_path / "problems"
    copytree(PROJECT / "problems", problems)
    copy_prefect(empty_prefect, tmp_path / "data")
    machine = empty_machine | {"DATA_DIR": str(tmp_path / "data"), "PROBLEMS_DIR": str(problems)}
    said = {name: arguments for name, *arguments in map(shlex.split, commands)}

    def run(name: str, status: int = 0) -> str:
        return run_flow(machine, name, *said[name], cwd=tmp_path, status=status)

    assert said.keys() == {"seed", "retrain", "experiment", "rollback", "history"}
    assert "400 documents in perennial.reviews, 400 of them new" in run("seed")
    # Two words are learned in no time; that "not wonderful" is no praise is not.
    assert "sentiment: kept out, there is no Production version yet" in run("retrain")
    assert "No version of sentiment has been in Production yet" in run("history")
    assert "has no previous version to go back to" in run("rollback", status=1)
    assert "Wrote " in run("experiment")
    assert "baseline: " in (problems / "sentiment.yaml").read_text()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_command_of_the_docs_exists(page: str) -> None:
    text = (PROJECT / page).read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", text, re.MULTILINE))

    for target in sorted(named):
        plan = subprocess.run(
            ["make", "--dry-run", target], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        assert plan.returncode == 0, f"{page}: make {target}: {plan.stderr}"

    assert {"run", "test"} <= named or page != "README.md"
