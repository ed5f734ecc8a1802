"""Examples: the files of problems that a project may have by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from perennial.config.loader import load_problem
from perennial.files.labelled import open_labelled
from perennial.profile.trial import try_documents
from perennial.settings import PROJECT
from tasks.data.datasets import builtin_file
from tasks.data.examples import bring_example

EXAMPLES = PROJECT / "flows" / "examples"
MORE = sorted(path.stem for path in (EXAMPLES / "more").glob("*.yaml"))


def test_an_example_comes_with_its_cases(tmp_path: Path) -> None:
    assert bring_example("sentiment", tmp_path / "problems", EXAMPLES)

    assert load_problem(tmp_path / "problems" / "sentiment.yaml").name == "sentiment"
    assert (tmp_path / "problems" / "cases" / "sentiment.yaml").is_file()


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "intents.yaml").write_text("of one's own")

    assert not bring_example("intents", tmp_path, EXAMPLES)

    assert (tmp_path / "intents.yaml").read_text() == "of one's own"


@pytest.mark.parametrize("name", ["tickets", "README", "more", "cases/sentiment"])
def test_a_name_that_is_no_example_brings_nothing(name: str, tmp_path: Path) -> None:
    assert not bring_example(name, tmp_path, tmp_path / "nothing")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", MORE)
def test_every_row_of_an_example_can_be_used(name: str) -> None:
    problem = load_problem(EXAMPLES / "more" / f"{name}.yaml")
    file = builtin_file(problem)
    assert file is not None

    trial = try_documents(open_labelled(problem, file), problem)

    assert trial.obstacle is None
    assert (trial.quarantined, len(trial.labels)) == (0, len(problem.labels))
    assert trial.split is not None
    assert trial.documents in {1_309, 4_000, 10_003}


def test_where_a_dataset_is_from_stands_beside_it() -> None:
    folder = PROJECT / "tasks" / "data" / "files"
    said = (folder / "README.md").read_text()

    assert all(f"`{path.name}`" in said for path in folder.glob("*.gz"))
