"""A candidate that its estimator cannot fit is refused when the problem's file is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import ProblemError
from perennial.estimators import ESTIMATORS

# What stands in line 8 and after it is the part that a test is about.
_TEXTS = """\
source: {database: films, collection: reviews}
labels: LABELS
preparations:
  plain: {}
candidates:
  bayes:
    preparation: plain
    features: {}
    estimator: multinomial_naive_bayes
"""
_RECORDS = """\
source: {database: garden, collection: flowers}
labels: LABELS
inputs: {width: number}
candidates:
  one:
"""
_TWO, _THREE = "{poor: 0, good: 1}", "{poor: 0, fair: 1, good: 2}"


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Problem]:
    def write_and_load(content: str) -> Problem:
        path = tmp_path / "reviews.yaml"
        path.write_text(content)
        return load_problem(path)

    return write_and_load


@pytest.fixture
def complaint(read: Callable[[str], Problem], tmp_path: Path) -> Callable[[str], str]:
    """Return a function that says what is wrong with a file, its path left out."""

    def refuse(content: str) -> str:
        with pytest.raises(ProblemError) as error:
            read(content)
        return str(error.value).replace(f"{tmp_path / 'reviews.yaml'}, ", "")

    return refuse


def texts(addition: str, labels: str = _TWO) -> str:
    return _TEXTS.replace("LABELS", labels) + addition


def records(addition: str, labels: str = _TWO) -> str:
    return _RECORDS.replace("LABELS", labels) + addition


def test_an_estimator_that_nobody_knows_is_named_with_the_nearest(
    complaint: Callable[[str], str],
) -> None:
    said = complaint(records("    estimator: NBSVM\n"))

    assert said.startswith("line 6: candidates.one.estimator is 'NBSVM'; input should be one of ")
    assert said.endswith("; the nearest is nb_svm.")
    assert all(name in said for name in ESTIMATORS)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_parameter_that_an_estimator_does_not_have_is_named_with_those_it_has(
    name: str, complaint: Callable[[str], str]
) -> None:
    parameter = max(ESTIMATORS[name].parameters, key=len)

    said = complaint(records(f"    estimator: {name}\n    parameters:\n      {parameter}_: 3\n"))

    assert said == (
        f"line 8: candidates.one.parameters.{parameter}_ is no parameter of {name}; its parameters "
        f"are {', '.join(ESTIMATORS[name].parameters)}; the nearest is {parameter}."
    )


@pytest.mark.parametrize(
    ("candidate", "says"),
    [
        pytest.param(
            "    estimator: gradient_boosting\n    parameters:\n      loss: exponential\n",
            "line 8: candidates.one.parameters.loss is 'exponential', which takes two labels only, "
            "and the file has 3; take 'log_loss' instead.",
            id="a loss",
        ),
    ],
)
def test_what_takes_two_labels_only_is_refused_with_three(
    candidate: str,
    says: str,
    read: Callable[[str], Problem],
    complaint: Callable[[str], str],
) -> None:
    assert read(records(candidate, _TWO)).candidates.keys() == {"one"}
    assert complaint(records(candidate, _THREE)) == says


@pytest.mark.parametrize(
    "candidate",
    [
        "    estimator: nb_svm\n",
        "    estimator: logistic_regression\n    parameters: {solver: liblinear}\n",
    ],
)
def test_what_learns_each_label_against_the_rest_takes_three(
    candidate: str, read: Callable[[str], Problem]
) -> None:
    assert read(records(candidate, _THREE)).candidates.keys() == {"one"}


@pytest.mark.parametrize(
    ("experiment", "says"),
    [
        pytest.param(
            "  spaces:\n    bayes:\n      parameters: {alfa: [1, 2]}\n",
            "line 13: experiment.spaces.bayes.parameters.alfa is no parameter of "
            "multinomial_naive_bayes; its parameters are alpha, class_prior, fit_prior, "
            "force_alpha; the nearest is alpha.",
            id="a parameter of a candidate",
        ),
        pytest.param(
            "  spaces:\n    multinomial_naive_bayes:\n      parameters: {alfa: [1, 2]}\n",
            "line 13: experiment.spaces.multinomial_naive_bayes.parameters.alfa is no parameter "
            "of multinomial_naive_bayes; ",
            id="a parameter of an estimator",
        ),
        pytest.param(
            "  grid:\n    preparation: plain\n    features: {words: {}}\n    estimators:\n"
            "      boosted: {estimator: gradient_boosting, parameters: {loss: exponential}}\n",
            "line 15: experiment.grid.estimators.boosted.parameters.loss is 'exponential', which "
            "takes two labels only, and the file has 3; take 'log_loss' instead.",
            id="a value of the grid",
        ),
        pytest.param(
            "  grid:\n    preparation: plain\n    features: {words: {}}\n    estimators:\n"
            "      trees: {estimator: decision_tree, parameters: {depth: 3}}\n",
            "line 15: experiment.grid.estimators.trees.parameters.depth is no parameter of "
            "decision_tree; its parameters are ",
            id="a parameter of the grid",
        ),
        pytest.param(
            "  grid:\n    preparation: plain\n    features: {words: {}}\n    estimators:\n"
            "      trees: {estimator: tree}\n",
            "line 15: experiment.grid.estimators.trees.estimator is 'tree'; input should be one "
            "of ",
            id="an unknown estimator of the grid",
        ),
        pytest.param(
            "  grid:\n    preparation: plain\n    features: {words: {weighting: counted}}\n"
            "    estimators:\n      svm: {estimator: svm}\n",
            "line 11: experiment.grid makes the candidate 'words-svm', whose features.weighting is "
            "'counted'; input should be 'counts'",
            id="features of the grid that no candidate has",
        ),
        pytest.param(
            "  grid:\n    preparation: plain\n    features: {words: {}}\n    estimators:\n"
            "      boosted: {estimator: gradient_boosting}\n"
            "  spaces:\n    words-boosted:\n      parameters: {loss: [log_loss, exponential]}\n",
            "line 18: experiment.spaces.words-boosted.parameters.loss is 'exponential', which "
            "takes two labels only, and the file has 3; take 'log_loss' instead.",
            id="a value that is explored",
        ),
    ],
)
def test_what_an_experiment_explores_is_checked_too(
    experiment: str, says: str, complaint: Callable[[str], str]
) -> None:
    said = complaint(texts(f"experiment:\n{experiment}", _THREE))

    assert said.startswith(says)


def test_numbers_below_zero_are_refused_where_an_estimator_takes_none(
    read: Callable[[str], Problem], complaint: Callable[[str], str]
) -> None:
    features = "    features:\n      scale: SCALE\n    estimator: multinomial_naive_bayes\n"

    assert read(records(features.replace("SCALE", "none"))).candidates.keys() == {"one"}
    assert complaint(records(features.replace("SCALE", "standard"))) == (
        "line 7: candidates.one.features.scale is 'standard', which gives negative numbers, and "
        "multinomial_naive_bayes takes none; take 'none' instead."
    )


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_may_be_named_with_all_its_parameters(
    name: str, read: Callable[[str], Problem]
) -> None:
    parameters = "".join(f"      {each}: null\n" for each in ESTIMATORS[name].parameters)

    problem: Any = read(records(f"    estimator: {name}\n    parameters:\n{parameters}"))

    assert tuple(problem.candidates["one"].parameters) == ESTIMATORS[name].parameters


def test_the_schema_of_a_file_names_every_estimator() -> None:
    schema = Problem.model_json_schema()

    for kind in ("Candidate", "TabularCandidate"):
        assert schema["$defs"][kind]["properties"]["estimator"]["enum"] == list(ESTIMATORS)
