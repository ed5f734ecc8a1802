"""A file of behavioural cases says what is meant, or says exactly what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import ProblemError
from tests.perennial.config.test_problem import REVIEWS

CASES = """\
# What the model must have understood
groups:
  negation:
    pass_rate: 0.8
    minimum_function:
      - {input: It is good, label: positive}
      - {input: It is not good, label: negative}
  names:
    invariance:
      - input: Ann is good
        changed: Bob is good
        tolerance: 0.1
    direction:
      - {input: good, changed: very good, label: positive, rises: -0.1}
"""


def load(folder: Path, cases: str) -> Problem:
    (folder / "cases").mkdir(exist_ok=True)
    (folder / "cases" / "reviews.yaml").write_text(cases)
    path = folder / "reviews.yaml"
    path.write_text(REVIEWS + "  cases: cases/reviews.yaml\n")
    return load_problem(path)


def test_the_cases_are_part_of_the_problem(tmp_path: Path) -> None:
    problem = load(tmp_path, CASES)

    assert problem.gates.cases is not None
    negation, names = problem.gates.cases.groups.values()
    assert (negation.pass_rate, names.pass_rate) == (0.8, 1.0)
    assert (len(negation), len(names)) == (2, 2)
    assert problem.gates.cases.inputs == [
        *("It is good", "It is not good"),
        *("Ann is good", "Bob is good"),
        *("good", "very good"),
    ]


def test_a_changed_case_is_a_changed_problem_and_a_comment_is_not(tmp_path: Path) -> None:
    before = load(tmp_path, CASES).digest

    assert load(tmp_path, CASES.replace("understood", "learned")).digest == before
    assert load(tmp_path, CASES.replace("very good", "so good")).digest != before


def test_a_problem_with_cases_can_be_stored_as_json(tmp_path: Path) -> None:
    problem = load(tmp_path, CASES)

    assert Problem.model_validate_json(problem.model_dump_json()) == problem


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        pytest.param(
            "is not good, label: negative",
            "is not good, label: negtive",
            7,
            "groups.negation.minimum_function.1.label is 'negtive'; input should be 'negative' or "
            "'positive'.",
            id="a label that the problem does not have",
        ),
        pytest.param(
            "tolerance: 0.1",
            "tolerence: 0.1",
            12,
            "groups.names.invariance.0.tolerence is not a key of the schema; allowed here are "
            "input, changed, tolerance.",
            id="an unknown key of a case",
        ),
        pytest.param(
            "        changed: Bob is good\n",
            "",
            10,
            "groups.names.invariance.0.changed is missing; it is required.",
            id="half a pair",
        ),
        pytest.param(
            "pass_rate: 0.8",
            "pass_rate: 80",
            4,
            "groups.negation.pass_rate is 80; input should be less than or equal to 1.",
            id="a rate in percent",
        ),
        pytest.param(
            "    direction:",
            "    directions:",
            13,
            "groups.names.directions is not a key of the schema; allowed here are pass_rate, "
            "minimum_function, invariance, direction.",
            id="an unknown kind of cases",
        ),
        pytest.param(
            "rises: -0.1",
            "rises: some",
            14,
            "groups.names.direction.0.rises is 'some'; input should be a valid number, ",
            id="a word for a number",
        ),
    ],
)
def test_a_mistake_in_a_case_is_named_with_file_line_key_value_and_what_is_allowed(
    old: str, new: str, line: int, says: str, tmp_path: Path
) -> None:
    assert CASES.count(old) == 1

    with pytest.raises(ProblemError) as error:
        load(tmp_path, CASES.replace(old, new))

    assert str(error.value).startswith(
        f"{tmp_path / 'cases' / 'reviews.yaml'}, line {line}: {says}"
    )


def test_a_file_of_cases_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"cases/reviews\.yaml is not valid YAML"):
        load(tmp_path, "groups: [")
