"""The tutorials about a problem of one's own: files and commands, as they stand there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
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
    commands = re.findall(r"^perennial (.+)$", page, re.MULTILINE)
    # So short that two of them are no near-copies.
    tickets = "".join(
        f'"{text} {number}",{label}\n'
        for number in range(300)
        for text, label in (("the shop is down", 1), ("my address, please", 0))
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


def test_five_minutes_lead_from_a_file_to_a_first_version(
    empty_machine: dict[str, str], empty_prefect: Path, tmp_path: Path
) -> None:
    page = (PROJECT / "docs" / "tutorial" / "five-minutes.md").read_text()
    commands = re.findall(r"^perennial (.+)$", page, re.MULTILINE)
    (tmp_path / "tickets.csv").write_text("body,priority\n" + _tickets())
    copy_prefect(empty_prefect, tmp_path / ".data")
    machine = {name: value for name, value in empty_machine.items() if name != "DATA_DIR"}
    machine |= {"PROJECT_DIR": str(tmp_path), "PYTHONPATH": str(PROJECT)}

    said = [
        subprocess.run(
            [sys.executable, "-m", "deployments", *shlex.split(command)],
            cwd=tmp_path,
            env=machine,
            capture_output=True,
            text=True,
            timeout=280,
            check=True,
        ).stdout
        for command in commands
    ]

    assert [command.split()[0] for command in commands] == [
        "init",
        "check",
        "seed",
        "retrain",
        "history",
    ]
    init, check, _, retrain, history = said
    assert "problems/tickets.yaml is written" in "".join(init.splitlines())
    assert "what would become of 400 documents" in " ".join(check.split())
    assert "tickets: promoted, Production is now version 1" in retrain
    assert re.search(r"promot", history)


def _tickets() -> str:
    """Return tickets of which no two are made of one template."""
    urgent = ("down", "broken", "lost", "failing", "stuck", "dead", "urgent", "crashing")
    normal = ("thanks", "question", "address", "invoice", "later", "curious", "newsletter", "fine")
    places = ("shop", "page", "till", "card", "order", "mail", "login", "basket", "refund", "app")
    lines = []
    for number in range(200):
        for label, words in (("urgent", urgent), ("normal", normal)):
            some = [words[(number + step * step) % 8] for step in range(3)]
            where = places[number % 10] + " " + places[number // 10 % 10]
            lines.append(f'"{where} {" ".join(some)} {number * 7919 % 1000}",{label}\n')
    return "".join(lines)
