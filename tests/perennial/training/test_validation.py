"""Folds of training documents: nothing is torn apart, and the future teaches nobody."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from perennial.config.problem import Problem
from perennial.config.sections.split import Validation
from perennial.hashing import digest
from perennial.training.classes import in_terms_of
from perennial.training.cross_validation import experiment_folds
from perennial.training.threshold_tuning import tune
from perennial.training.validation import Bonds, Fold, validation_folds, validation_parts
from tests.perennial.examples import some_examples

documents = st.lists(
    st.tuples(st.integers(0, 25), st.sampled_from("abc"), st.integers(0, 20), st.booleans()),
    min_size=4,
    max_size=80,
)
validations = st.builds(Validation, share=st.floats(0.05, 0.6)) | st.builds(
    Validation, folds=st.integers(2, 6)
)


def bonds_of(rows: list[Any], *, by_time: bool) -> tuple[Bonds, Any, Any]:
    keys = pa.array([digest(f"{key}".encode()) for key, *_ in rows], pa.binary())
    times = np.array([time for *_, time, _ in rows], np.int64) if by_time else None
    labels = np.array([label for _, label, *_ in rows])
    return Bonds(keys, times), labels, np.array([judged for *_, judged in rows], np.bool_)


def check(folds: list[Fold], bonds: Bonds, judged: Any) -> None:
    keys = np.array(bonds.keys.to_pylist(), object)
    for fold in folds:
        assert fold.predicted.any()
        assert not (fold.predicted & ~judged).any()
        assert not set(keys[fold.predicted]) & set(keys[fold.learned])
        if bonds.times is not None:
            assert bonds.times[fold.learned].max() < bonds.times[fold.predicted].min()
    predicted = sum(fold.predicted.astype(int) for fold in folds)
    assert np.max(predicted, initial=0) <= 1


@some_examples
@given(documents, validations, st.booleans())
def test_no_key_is_learned_from_where_it_is_predicted_and_nothing_newer(
    rows: list[Any], validation: Validation, by_time: bool
) -> None:
    bonds, labels, judged = bonds_of(rows, by_time=by_time)

    check(validation_folds(validation, bonds, labels, judged), bonds, judged)


@some_examples
@given(documents, st.integers(2, 5), st.booleans())
def test_the_folds_of_an_experiment_keep_to_the_same_rules(
    rows: list[Any], folds: int, by_time: bool
) -> None:
    bonds, labels, judged = bonds_of(rows, by_time=by_time)
    try:
        found = experiment_folds(bonds, labels, folds, judged)
    except ValueError:
        return

    check(found, bonds, judged)


@some_examples
@given(documents, validations)
def test_a_label_is_never_predicted_by_models_that_cannot_know_it(
    rows: list[Any], validation: Validation
) -> None:
    bonds, labels, judged = bonds_of(rows, by_time=False)

    for fold in validation_folds(validation, bonds, labels, judged):
        assert set(labels[fold.predicted]) <= set(labels[~fold.predicted])


def test_without_copies_and_rare_labels_folds_are_the_parts_that_they_always_were() -> None:
    rows = [(number, "ab"[number % 2], 0, True) for number in range(300)]
    bonds, labels, judged = bonds_of(rows, by_time=False)
    for validation in (Validation(share=0.2), Validation(folds=4)):
        parts = validation_parts(validation, bonds.keys)

        folds = validation_folds(validation, bonds, labels, judged)

        assert len(folds) == len(parts)
        for fold, part in zip(folds, parts, strict=True):
            np.testing.assert_array_equal(fold.predicted, part)
            np.testing.assert_array_equal(fold.learned, ~part)


def test_a_threshold_is_tuned_on_documents_that_came_later_or_from_other_groups(
    problem: Problem,
) -> None:
    """One feature names the group, and with it the label: only other groups show its worth."""
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(60), 5)
    labels = np.where(rng.random(60)[groups] < 0.5, "negative", "positive")
    matrix = np.eye(60)[groups]
    goal = {"costs": {"negative": 1, "positive": 5}}
    costly = Problem.model_validate(
        problem.model_dump(mode="json") | {"metric": "cost", "decision": goal}
    )
    assert costly.decision is not None
    classifier = Pipeline([("classify", LogisticRegression())])
    own = pa.array([digest(f"d{n}".encode()) for n in range(300)], pa.binary())
    shared = pa.array([digest(f"g{group}".encode()) for group in groups], pa.binary())

    def accuracy(bonds: Bonds) -> tuple[float, int]:
        found = tune(costly, costly.decision, classifier, matrix, labels, bonds=bonds).out_of_fold  # type: ignore[arg-type]
        plain = found.probabilities.argmax(axis=1)
        return float((plain == found.truth).mean()), len(found)

    torn, _ = accuracy(Bonds(own))
    kept, everything = accuracy(Bonds(shared))
    later, fewer = accuracy(Bonds(own, np.arange(300)))

    assert torn > 0.95
    assert max(kept, later) < 0.75
    assert (everything, fewer) == (300, 250)


def test_a_model_of_other_labels_is_understood_as_far_as_it_goes(problem: Problem) -> None:
    changes = {"labels": {"a": 0, "b": 1, "c": 2, "d": 3}}
    merging = changes | {"rare_labels": {"below": 5, "do": "merge", "into": "other"}}
    known, said = ["a", "b", "c"], np.array(["a", "c", "c"])
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.1, 0.7], [0.0, 0.0, 1.0]])

    def asked(content: dict[str, Any], classes: list[str]) -> Problem:
        whole = problem.model_dump(mode="json") | content
        whole["candidates"] = {"bow-bayes": whole["candidates"]["bow-bayes"]}
        whole |= {"baseline": None, "experiment": {}}
        return Problem.model_validate(whole).with_classes(classes)

    dropped = in_terms_of(asked(changes, ["a", "b"]), known, said, probabilities)
    merged = in_terms_of(asked(merging, ["a", "b", "other"]), known, said, probabilities)
    more = in_terms_of(asked(changes, ["a", "b", "c", "d"]), known, said, probabilities)

    assert dropped[0].tolist() == [0, 0, 0]
    assert dropped[1] == pytest.approx(np.array([[2 / 3, 1 / 3], [2 / 3, 1 / 3], [0.5, 0.5]]))
    assert merged[0].tolist() == [0, 2, 2]
    assert merged[1] == pytest.approx(probabilities)
    assert more[0].tolist() == [0, 2, 2]
    assert more[1][:, 3].tolist() == [0.0, 0.0, 0.0]
