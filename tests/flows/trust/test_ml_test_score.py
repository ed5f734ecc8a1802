"""The page about the ML Test Score: each of its commands does what the page says of it."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from deployments.cli import app
from perennial.registry.client import Registry
from perennial.settings import PROJECT, Settings
from perennial.stores.snapshots.store import SnapshotStore
from tests.conftest import MIDNIGHT, MINUTE, SMALL_PROBLEM

pytestmark = pytest.mark.usefixtures("prefect_api")

PAGE = PROJECT / "docs" / "explanation" / "ml-test-score.md"
EXPERIMENT: dict[str, Any] = {
    "folds": 2,
    "grid": {
        "preparation": "plain",
        "features": {"bow": {"weighting": "counts"}},
        "estimators": {"bayes": {"estimator": "multinomial_naive_bayes"}},
    },
}
PASSENGERS: dict[str, Any] = {
    "source": {"database": "", "collection": "passengers"},
    "inputs": {"age": "number", "class": "category"},
    "labels": {"died": 0, "survived": 1},
    "candidates": {"logistic": {"estimator": "logistic_regression"}},
    "gates": {"first_version": None},
}


def _page() -> str:
    return PAGE.read_text(encoding="utf-8")


def _commands(program: str) -> list[str]:
    """Return what the page says is to be typed, each once."""
    return list(dict.fromkeys(re.findall(rf"`{program} ([^`]+)`|`{program}`", _page())))


def _rows() -> list[list[str]]:
    """Return the 28 rows of the page's tables."""
    lines = (line for line in _page().splitlines() if re.match(r"\| \d \|", line))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_all_28_tests_are_there_each_with_a_command_and_all_are_shown() -> None:
    rows = _rows()

    assert [row[0].strip("| ") for row in rows] == [*"1234567"] * 4
    for _, test, shown_by, shown in rows:
        assert re.search(r"`(perennial|make) ", shown_by), test
        assert shown == "yes", test


@pytest.fixture
def boarded(
    machine: Settings, database_name: str, collection: Any, documents: Callable[..., Any]
) -> Any:
    """The problems of the page on a machine: reviews, and passengers whose documents are there."""
    source = {"database": database_name}
    reviews = SMALL_PROBLEM | {
        "source": SMALL_PROBLEM["source"] | source,
        "experiment": EXPERIMENT,
        "gates": SMALL_PROBLEM["gates"] | {"confirm": "none"},
    }
    passengers = PASSENGERS | {"source": PASSENGERS["source"] | source}
    for name, content in (("sentiment", reviews), ("passengers", passengers)):
        with (machine.problems_dir / f"{name}.yaml").open("w") as file:
            YAML(typ="safe").dump(content, file)
    first = documents(400)
    collection.insert_many(first)
    collection.database["passengers"].insert_many(
        {
            "_id": number,
            "age": number % 80,
            "class": ("first", "third")[number % 2],
            "survived": int(number % 80 < 30) ^ (number % 7 == 0),
            "label": int(number % 80 < 30) ^ (number % 7 == 0),
            "created_at": first[0]["created_at"] + number * MINUTE,
        }
        for number in range(300)
    )
    return collection


def _run(command: str) -> str:
    done = CliRunner().invoke(app, shlex.split(command), catch_exceptions=False)
    assert done.exit_code == 0, f"perennial {command}: {done.output[-3000:]}"
    return done.output


def test_every_command_of_the_page_runs(
    boarded: Any,
    documents: Callable[..., Any],
    machine: Settings,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text(
        "text,label\n" + "".join(f'"{row["text"]}",{row["label"]}\n' for row in documents(60))
    )
    left = set(_commands("perennial"))

    def type_(command: str) -> str:
        left.discard(command)
        return " ".join(_run(command).split())

    assert "used" in type_("check sentiment --file reviews.csv")
    first = type_("retrain sentiment")
    assert "Verdict on version 1 against no Production yet: promoted" in first
    assert "Version 1 beside simple answers to the same documents" in first
    assert "Verdict on version 1" in type_("retrain passengers")
    boarded.insert_many(documents(300, first=400, at=MIDNIGHT + timedelta(days=30)))
    again = _run("retrain sentiment")
    assert "beside those that version 1 has learned from" in " ".join(again.split())
    registry.promote(registry.version("sentiment", 2), expected=registry.production("sentiment"))
    assert "sentiment: too little has come since version 2" in type_("monitor sentiment")
    # What was erased is not reproduced: that comes last.
    for command in sorted(left, key=lambda each: (each.startswith("erase"), each)):
        type_(command)

    assert left == set()
    assert registry.require_production("sentiment").version == 1
    assert len(SnapshotStore("sentiment", machine).erased()) == 1


def test_what_is_made_is_in_the_makefile() -> None:
    targets = set(re.findall(r"`make ([a-z0-9-]+)`", _page()))

    assert targets == {"test", "test-e2e", "bench", "serve"}
    for target in targets:
        done = subprocess.run(
            ["make", "--dry-run", target],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
