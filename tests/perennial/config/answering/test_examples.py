"""Examples of a problem's file are inputs that its model could take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import ProblemError
from perennial.settings import PROJECT


def _iris(folder: Path, examples: list[Any]) -> Problem:
    yaml = YAML(typ="safe")
    content = yaml.load(PROJECT / "problems" / "iris.yaml") | {"examples": examples}
    path = folder / "iris.yaml"
    yaml.dump(content, path)
    return load_problem(path)


def test_texts_are_examples_of_texts(write_problem: Callable[..., Problem]) -> None:
    assert write_problem(examples=["A fine film."]).examples == ("A fine film.",)


def test_mappings_of_fields_are_examples_of_records(tmp_path: Path) -> None:
    (found,) = _iris(tmp_path, [{"petal_length": 6.0}]).examples

    assert found == {"petal_length": 6.0}


def test_an_example_starts_no_retraining(write_problem: Callable[..., Problem]) -> None:
    assert write_problem().digest == write_problem(examples=["A fine film."]).digest


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ([{"petal_length": 6.0}], "examples of texts are texts"),
        ([""], "examples.0"),
        (["text"] * 6, "examples"),
    ],
)
def test_what_is_no_example_of_texts_is_refused(
    write_problem: Callable[..., Problem], examples: list[Any], said: str
) -> None:
    with pytest.raises(ProblemError) as refused:
        write_problem(examples=examples)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        (["A fine flower."], "mappings of fields"),
        ([{"petal_lenght": 6.0}], "examples.0.petal_lenght is an unknown field; known fields:"),
    ],
)
def test_what_is_no_example_of_records_is_refused(
    tmp_path: Path, examples: list[Any], said: str
) -> None:
    with pytest.raises(ProblemError) as refused:
        _iris(tmp_path, examples)

    assert said in str(refused.value)
