"""What differs from the time when a version was made is found, and said once."""

from __future__ import annotations

import json

import numpy as np
import pytest

from perennial.config.problem import Problem
from perennial.registry.client import ModelVersion
from tasks.training.recipe import Recipe, Surroundings
from tasks.training.reproduce import Ingredients, gather


@pytest.fixture(scope="module")
def here() -> Surroundings:
    return Surroundings.here("cheap")


def gathered(problem: Problem, surroundings: Surroundings) -> Ingredients:
    (candidate, *_) = problem.candidates
    recipe = Recipe(
        problem.model_dump_json().encode(),
        surroundings.model_copy(update={"candidate": candidate}),
        np.zeros(1, np.int64),
        np.zeros((1, 2)),
    )
    return gather.fn(ModelVersion(problem.name, 1, "run", {}), recipe)


def code_of(ingredients: Ingredients) -> list[str]:
    return [each.name for each in ingredients.differences if each.what == "code"]


@pytest.mark.parametrize(
    ("code", "packages"),
    [
        ({"modeling/text.py": "0", "tasks/train.py": "1"}, "modeling and tasks then"),
        ({"modeling/text.py": "0", "perennial/text.py": "1"}, "modeling and perennial then"),
        ({"tasks/train.py": "1"}, "tasks then"),
    ],
)
def test_a_version_made_with_another_layout_of_the_code_says_so_and_lists_no_file(
    problem: Problem, here: Surroundings, code: dict[str, str], packages: str
) -> None:
    found = gathered(problem, here.model_copy(update={"code": code}))

    assert found.layout is not None
    assert found.layout.startswith(f"made with another layout of the code ({packages}, ")
    assert "perennial and tasks now" in found.layout
    assert code_of(found) == []


def test_files_that_differ_in_the_layout_of_today_are_listed(
    problem: Problem, here: Surroundings
) -> None:
    changed = here.code | {"perennial/errors.py": "0" * 64, "tasks/gone.py": "1" * 64}

    found = gathered(problem, here.model_copy(update={"code": changed}))

    assert found.layout is None
    assert code_of(found) == ["perennial/errors.py", "tasks/gone.py"]


def test_nothing_of_the_code_differs_in_the_place_where_a_version_was_made(
    problem: Problem, here: Surroundings
) -> None:
    found = gathered(problem, here)

    assert found.layout is None
    assert code_of(found) == []


def test_a_version_whose_tags_name_no_snapshot_cannot_be_fitted(
    problem: Problem, here: Surroundings
) -> None:
    found = gathered(problem, here)

    assert found.snapshot is None
    assert [each.now for each in found.differences if each.what == "data"] == [
        "not named by the version's tags"
    ]


def test_a_problem_that_was_recorded_before_there_was_a_normal_form_is_read_without(
    problem: Problem, here: Surroundings
) -> None:
    recorded = problem.model_dump(mode="json")
    for steps in recorded["preparations"].values():
        del steps["normal_form"]
    kept = problem.model_dump_json().encode()
    recipes = [
        Recipe(content, here, np.zeros(1, np.int64), np.zeros((1, 2)))
        for content in (json.dumps(recorded).encode(), kept)
    ]

    before, today = (each.read_problem().preparations for each in recipes)

    assert {steps.normal_form for steps in before.values()} == {False}
    assert today == problem.preparations
