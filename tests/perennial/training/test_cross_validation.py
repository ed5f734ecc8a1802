"""What an experiment tries, and that its folds tell the truth about documents not seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import accuracy_score

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.config.sections.candidates import Features
from perennial.config.sections.experiment import Experiment, Space
from perennial.text.ngrams import NgramCounter
from perennial.training.cross_validation import (
    NO_FOLD,
    CrossValidation,
    SettingResult,
    fold_counts,
    folds_of,
    in_order,
)
from perennial.training.pipelines import build_classifier, build_counter
from perennial.training.validation import Fold
from tests.perennial.config.test_problem import REVIEWS, Write, complaint_about, replaced, write
from tests.perennial.examples import documents, some_examples, tokens_of

__all__ = ["write"]

GRID = """
experiment:
  grid:
    preparation: plain
    features: {bow: {weighting: counts}, tfidf: {weighting: tfidf}}
    estimators:
      bayes: {estimator: multinomial_naive_bayes}
      forest: {estimator: random_forest, features: {max_features: 50}}
"""


def _hashes(numbers: list[int]) -> pa.Array:
    return pa.array([number.to_bytes(16, "little") for number in numbers], pa.binary())


@some_examples
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(["good", "poor"])), min_size=1, max_size=60
    ),
    st.integers(2, 5),
)
def test_copies_are_in_one_fold(made: list[tuple[int, str]], folds: int) -> None:
    numbers = [number for number, _ in made]
    labels = np.array([label for _, label in made])

    found = folds_of(_hashes(numbers), labels, folds)

    assert set(found) <= set(range(folds))
    for number in set(numbers):
        assert len({found[i] for i, each in enumerate(numbers) if each == number}) == 1


@some_examples
@given(st.permutations(range(40)), st.integers(2, 5), st.integers(5, 20))
def test_every_fold_has_its_share_of_every_label(order: list[int], folds: int, good: int) -> None:
    labels = np.array(["good"] * good + ["poor"] * (40 - good))[order]

    found = folds_of(_hashes(list(order)), labels, folds)

    for label in ("good", "poor"):
        sizes = np.bincount(found[labels == label], minlength=folds)
        assert sizes.max() - sizes.min() <= 1


def test_folds_do_not_depend_on_the_order_of_documents() -> None:
    numbers, labels = list(range(100, 130)), np.array(["good", "poor", "poor"] * 10)
    order = np.random.default_rng(1).permutation(30)

    found = folds_of(_hashes(numbers), labels, 4)
    mixed = folds_of(_hashes([numbers[i] for i in order]), labels[order], 4)

    np.testing.assert_array_equal(mixed, found[order])


def test_what_is_not_judged_is_in_no_fold_and_moves_nothing_else() -> None:
    labels = np.array(["good", "poor", "poor"] * 10)
    judged = np.random.default_rng(2).random(30) < 0.6
    numbers = list(range(30))

    found = folds_of(_hashes(numbers), labels, 4, judged)

    assert set(found[~judged]) == {NO_FOLD}
    of_these = [number for number, inside in zip(numbers, judged, strict=True) if inside]
    np.testing.assert_array_equal(found[judged], folds_of(_hashes(of_these), labels[judged], 4))


@some_examples
@given(
    documents,
    st.booleans(),
    st.booleans(),
    st.integers(1, 3),
    st.none() | st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
def test_features_of_a_fold_are_those_a_counter_of_its_own_would_find(
    texts: list[list[str]],
    bigrams: bool,
    binary: bool,
    min_documents: int,
    max_features: int | None,
    seed: int,
) -> None:
    training = np.random.default_rng(seed).random(len(texts)) < 0.7
    features = Features(
        bigrams=bigrams, binary=binary, min_documents=min_documents, max_features=max_features
    )
    wide = NgramCounter(bigrams=bigrams)
    own = build_counter(features)
    learned = tokens_of([text for text, inside in zip(texts, training, strict=True) if inside])
    others = tokens_of([text for text, inside in zip(texts, training, strict=True) if not inside])
    try:
        counts, expected = wide.fit_transform(tokens_of(texts)), own.fit_transform(learned)
    except ValueError:
        return

    found, found_others = fold_counts(counts, features, training)

    np.testing.assert_array_equal(found.toarray(), expected.toarray())
    np.testing.assert_array_equal(found_others.toarray(), own.transform(others).toarray())


def _validation(
    problem: Problem, space: Space | None, folds: int = 3
) -> tuple[CrossValidation, sparse.csr_array, Any, Any]:
    rng = np.random.default_rng(3)
    labels = np.array(["negative", "positive"] * 60)
    rates = np.where(labels[:, None] == "positive", [2.0, 0.7, 1, 1], [1.0, 1.4, 1, 1])
    counts = sparse.csr_array(rng.poisson(rates).astype(float))
    experiment = Experiment(folds=folds, spaces={} if space is None else {"bow-bayes": space})
    problem = problem.model_copy(update={"experiment": experiment})
    parts = folds_of(_hashes(list(range(120))), labels, folds)
    divided = [Fold(parts != fold, parts == fold) for fold in range(folds)]
    return CrossValidation(problem, "bow-bayes", counts, labels, divided), counts, labels, parts


def test_a_setting_is_judged_by_what_fits_say_about_documents_they_have_not_seen(
    problem: Problem,
) -> None:
    validation, counts, labels, folds = _validation(problem, None)

    (only,) = validation.results()

    predicted = np.empty_like(labels)
    for fold in range(3):
        model = build_classifier(problem, "bow-bayes")
        model.fit(counts[folds != fold], labels[folds != fold])
        predicted[folds == fold] = model.predict(counts[folds == fold])
    assert only.metrics["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert only.folds == 3
    assert only.interval is not None
    assert only.interval.low <= only.metrics["accuracy"] <= only.interval.high


def test_a_grid_tries_every_combination_and_the_setting_of_the_file_first(
    problem: Problem,
) -> None:
    space = Space(parameters={"alpha": [0.1, 1.0, 10.0], "fit_prior": [True, False]})
    validation, *_ = _validation(problem, space)

    tried = list(validation.results())

    assert tried[0].parameters == problem.candidates["bow-bayes"].parameters
    assert [each.parameters for each in tried[1:]] == [
        {"alpha": alpha, "fit_prior": prior}
        for alpha in (0.1, 1.0, 10.0)
        for prior in (True, False)
    ]
    assert {each.folds for each in tried} == {3}


def test_parts_of_the_settings_that_are_tried_apart_come_to_the_same_as_all_at_once(
    problem: Problem,
) -> None:
    space = Space(parameters={"alpha": [300.0, 0.1, 1000.0, 1.0, 10.0, 30.0]})
    whole = list(_validation(problem, space)[0].results())
    parts = [
        each
        for part in (slice(0, 2), slice(2, 3), slice(3, 7))
        for each in _validation(problem, space)[0].results(part)
    ]

    joined = in_order(problem.metric, parts, 3)

    assert [replace(each, seconds=0) for each in joined] == [
        replace(each, seconds=0) for each in whole
    ]
    assert sum(each.interval is not None for each in parts) > sum(
        each.interval is not None for each in whole
    )


def test_halving_lets_only_the_better_half_go_on(problem: Problem) -> None:
    space = Space(search="halving", parameters={"alpha": [1e9, 1e8, 0.1, 1.0, 3.0]})
    # By log loss, of which less is better; without any weight it is that of a coin.
    by_loss = problem.model_copy(update={"metric": "log_loss"})
    validation, *_ = _validation(by_loss, space)

    tried: list[SettingResult] = list(validation.results())

    folds = {each.parameters.get("alpha"): each.folds for each in tried}
    assert sorted(folds.values()) == [1, 1, 2, 3, 3, 3]
    assert folds[None] == 3
    assert folds[1e9] < 3
    assert folds[1e8] < 3


def test_a_grid_of_the_file_becomes_candidates(write: Write) -> None:
    problem = load_problem(write(REVIEWS + GRID))

    assert list(problem.candidates) == ["bayes"]
    assert list(problem.for_experiment().candidates) == [
        "bayes",
        "bow-bayes",
        "bow-forest",
        "tfidf-bayes",
        "tfidf-forest",
    ]
    forest = problem.for_experiment().candidates["tfidf-forest"]
    assert (forest.features.weighting, forest.features.max_features) == ("tfidf", 50)


def test_what_is_explored_does_not_make_a_problem_another_one(write: Write) -> None:
    assert load_problem(write(REVIEWS)).digest == load_problem(write(REVIEWS + GRID)).digest


def test_with_a_baseline_the_other_candidates_do_not_matter_to_a_retraining(write: Write) -> None:
    one = load_problem(write(REVIEWS + "baseline: bayes\n"))
    other = "gates:"
    more = "  more:\n    preparation: plain\n    features: {}\n    estimator: linear_svm\ngates:"
    two = load_problem(write(replaced(other, more) + "baseline: bayes\n"))

    assert len(two.candidates) == 2
    assert list(two.for_retraining().candidates) == ["bayes"]
    assert one.digest == two.digest


@pytest.mark.parametrize(
    ("added", "says"),
    [
        (
            "baseline: gradient\n",
            "baseline is 'gradient'; allowed is one of the candidates bayes.",
        ),
        (
            "experiment: {spaces: {bow-oracle: {parameters: {alpha: [1]}}}}\n",
            (
                "experiment.spaces.bow-oracle is 'bow-oracle'; allowed is one of bayes, "
                "multinomial_naive_bayes."
            ),
        ),
        (
            GRID.replace("multinomial_naive_bayes", "oracle"),
            ("experiment.grid.estimators.bayes.estimator is 'oracle'; input should be one of "),
        ),
        (
            GRID.replace("preparation: plain", "preparation: none"),
            "experiment.grid.preparation is 'none'; allowed is one of the preparations plain.",
        ),
        ("experiment: {folds: 1}\n", "experiment.folds is 1; input should be greater than"),
    ],
)
def test_a_mistake_in_an_experiment_is_named(added: str, says: str, write: Write) -> None:
    assert says in complaint_about(write(REVIEWS + added))
