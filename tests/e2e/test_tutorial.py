"""The tutorial about a problem of one's own: its file and its commands, as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from perennial.settings import PROJECT
from tests.conftest import copy_prefect
from tests.e2e.test_quickstart import empty_machine, run_flow

pytestmark = pytest.mark.e2e

__all__ = ["empty_machine"]


def test_the_tutorial_leads_to_a_first_version(
    empty_machine: dict[str, str], empty_prefect: Path, tmp_path: Path
) -> None:
    page = (PROJECT / "docs" / "tutorial" / "your-own-problem.md").read_text()
    commands = re.findall(r"^\.venv/bin/python -m flows (.+)$", page, re.MULTILINE)
    tickets = "".join(
        f'"{text} number {number}",{label}\n'
        for number in range(300)
        for text, label in (
            ("the shop is down and nobody can pay", 1),
            ("please change my address when you have time", 0),
        )
    )
    (tmp_path / "tickets.csv").write_text("body,urgent\n" + tickets)
    (tmp_path / "problems").mkdir()
    copy_prefect(empty_prefect, tmp_path / "data")
    problem = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0]
    (tmp_path / "problems" / "tickets.yaml").write_text(problem)
    machine = empty_machine | {
        "DATA_DIR": str(tmp_path / "data"),
        "PROBLEMS_DIR": str(tmp_path / "problems"),
    }

    seed, retrain, history = (
        run_flow(machine, *shlex.split(command), cwd=tmp_path) for command in commands
    )

    assert "600 documents in perennial.tickets, 600 of them new" in seed
    assert "tickets: promoted, Production is now version 1" in retrain
    assert re.search(r"promot", history)
