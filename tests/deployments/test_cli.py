"""The command `perennial`: what it offers, and what it says of mistakes, without a wait."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner, Result

from deployments.cli import app
from perennial import __version__
from perennial.commands import Name, command
from perennial.settings import PROJECT, get_settings
from tests.fresh import run_fresh


@pytest.fixture
def problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the problems of somebody's project, empty."""
    monkeypatch.setenv("PROBLEMS_DIR", str(tmp_path))
    get_settings.cache_clear()
    return tmp_path


@pytest.fixture(autouse=True)
def _read_settings_again() -> None:
    get_settings.cache_clear()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "TERM": "dumb"})


def test_help_shows_every_command_in_the_group_of_what_people_want() -> None:
    shown = run("--help").output
    groups = dict(re.findall(r"─ ([A-Z][\w ]+) ─+╮\n((?:│.*\n)+)", shown))

    def commands(group: str) -> set[str]:
        return set(re.findall(r"^│ (\w+) ", groups[group], re.MULTILINE))

    assert commands("Begin") == {"check", "init", "quickstart", "seed"}
    assert commands("Learn") == {"retrain", "experiment", "reproduce", "staleness"}
    assert commands("Decide what is in Production") == {"approve", "rollback", "history"}
    assert commands("Keep or erase documents") == {"erase"}
    assert commands("Watch and score") == {
        "feedback",
        "monitor",
        "quarantine",
        "score",
        "status",
    }
    system = {"serve", "up", "down", "apply", "exporter", "migrate", "tidy", "backup"}
    system |= {"restore", "retire", "upgrade"}
    assert commands("Run the system") == system
    assert "Retrain one problem on everything that is in MongoDB by now." in groups["Learn"]


def test_every_flow_is_a_command_that_says_what_it_does() -> None:
    flows = {
        file.stem
        for file in (PROJECT / "flows").glob("*.py")
        if f"\ndef {file.stem}(" in file.read_text() and "@flow" in file.read_text()
    }
    told = {command.name: command.help for command in app.registered_commands}

    assert len(flows) >= 10
    assert flows <= told.keys()
    assert all(told[flow] and told[flow].endswith(".") for flow in flows)


@pytest.mark.parametrize(
    ("typed", "meant"), [("retrian", "retrain"), ("quick-start", "quickstart"), ("serv", "serve")]
)
def test_an_unknown_command_is_told_with_the_nearest_one(typed: str, meant: str) -> None:
    result = run(typed)

    assert result.exit_code == 2
    assert f"No such command '{typed}'. Did you mean '{meant}'" in result.output


def test_every_command_that_a_message_names_exists() -> None:
    known = {
        each.name or getattr(each.callback, "__name__", None) for each in app.registered_commands
    }

    assert set(get_args(Name)) <= known
    assert command("retrain", "sentiment") == "perennial retrain sentiment"


def test_the_version_is_that_of_the_package() -> None:
    result = run("--version")

    assert (result.exit_code, result.output) == (0, f"perennial {__version__}\n")


def test_the_options_of_a_command_are_those_of_its_flow() -> None:
    shown = run_fresh(
        "import sys\n"
        "sys.argv = ['perennial', 'rollback', '--help']\n"
        "from deployments.cli import main\n"
        "main()",
        lines=None,
    )

    assert "Usage: perennial rollback [OPTIONS] [problem]" in shown
    assert "--why" in shown
    assert "The reason, for the history." in shown


def test_problems_without_mistakes_pass(problems: Path) -> None:
    text = (PROJECT / "problems" / "iris.yaml").read_text()
    (problems / "iris.yaml").write_text(text)
    (problems / "roses.yaml").write_text(text)

    result = run("check")

    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"{problems / name}.yaml: no mistakes." for name in ("iris", "roses")
    ]


def test_each_mistake_is_a_sentence_with_its_line_in_whatever_file_it_is(problems: Path) -> None:
    text = (PROJECT / "problems" / "iris.yaml").read_text()
    (problems / "a.yaml").write_text(text + "nonsense: 1\n")
    (problems / "b.yaml").write_text("labels: [")
    (problems / "c.yaml").write_text(text)
    (problems / "d.yaml").write_text(text + "wrong: 1\nmore: 2\n")
    (problems / "e.yml").write_text(text)

    result = run("check")
    lines = len(text.splitlines())

    assert result.exit_code == 1
    assert f"{problems / 'c.yaml'}: no mistakes." in result.output
    for said in (
        f"{problems / 'a.yaml'}, line {lines + 1}: nonsense is not a key of the schema",
        f"{problems / 'b.yaml'} is not valid YAML",
        f"{problems / 'd.yaml'}, line {lines + 1}: wrong is not a key of the schema",
        f"{problems / 'd.yaml'}, line {lines + 2}: more is not a key of the schema",
        f"{problems / 'e.yml'} is not read; the ending of a problem's file is .yaml.",
    ):
        assert said in result.stderr


def test_single_problems_are_checked_by_name_or_path(problems: Path) -> None:
    text = (PROJECT / "problems" / "iris.yaml").read_text()
    (problems / "good.yaml").write_text(text)
    (problems / "bad.yaml").write_text(text + "wrong: 1\n")

    assert run("check", "good").exit_code == 0
    assert run("check", str(problems / "good.yaml")).exit_code == 0
    assert run("check", "good", "bad").exit_code == 1
    missing = run("check", "god")
    assert missing.exit_code == 1
    assert "There is no problem 'god'" in missing.stderr
    assert "the problems are bad, good" in missing.stderr


def test_a_folder_without_problems_is_told_where_to_begin(problems: Path) -> None:
    shown = run_fresh(
        "import sys\n"
        "sys.argv = ['perennial', 'check']\n"
        "sys.stderr = sys.stdout\n"
        "from deployments.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code)"
    )

    assert shown.startswith(f"There is no problem in {problems}; write NAME.yaml there, or let ")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["check"], ["nonsense"]])
def test_what_says_something_at_once_waits_for_no_library_of_others(arguments: list[str]) -> None:
    loaded = json.loads(
        run_fresh(
            "import json, sys\n"
            f"sys.argv = ['perennial', *{arguments}]\n"
            "from deployments.cli import main\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
        )
    )

    assert "typer" in loaded
    heavy = {"numpy", "pandas", "scipy", "sklearn", "pyarrow", "mlflow", "prefect", "bentoml"}
    assert heavy.isdisjoint(loaded)


def test_in_a_clone_the_command_can_be_typed_in_any_folder(tmp_path: Path) -> None:
    folder = PROJECT / ".venv" / "bin"
    subprocess.run(["make", "--silent", ".venv/bin/perennial"], cwd=PROJECT, check=True)
    # Another project's package of the same name, where somebody happens to be.
    (tmp_path / "deployments").mkdir()
    (tmp_path / "deployments" / "__main__.py").write_text("raise SystemExit(3)")

    done = subprocess.run(
        ["perennial", "--version"],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == f"perennial {__version__}\n"
