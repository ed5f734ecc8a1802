"""A stack trusts what is worth something, and goes on where one of its parts is worthless."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from perennial.classifiers.stacked import StackedClassifier

WIDTH, SAMPLES = 8, 240


def _samples(
    labels: int, *, counts: bool, vectors: bool
) -> tuple[sparse.csr_array, NDArray[np.str_]]:
    """Return samples whose counts and whose vectors tell the labels, or are noise."""
    rng = np.random.default_rng(0)
    codes = np.arange(SAMPLES) % labels
    told = (codes[:, None] == np.arange(labels)) * 1.0
    words = rng.poisson(1.0, (SAMPLES, 20)).astype(float)
    if counts:
        words[:, :labels] += 3 * told
    meaning = rng.normal(size=(SAMPLES, WIDTH))
    if vectors:
        meaning[:, :labels] += 3 * told
    meaning /= np.linalg.norm(meaning, axis=1, keepdims=True)
    return sparse.csr_array(np.hstack([words, meaning])), np.array(["a", "b", "c", "d"])[codes]


def _stack() -> StackedClassifier:
    lexical = make_pipeline(LogisticRegression(C=0.1))
    return StackedClassifier(lexical, width=WIDTH, random_state=0)


@pytest.mark.slow
@pytest.mark.parametrize("labels", [2, 4])
@pytest.mark.parametrize(("counts", "vectors"), [(True, False), (False, True), (True, True)])
def test_whichever_part_tells_the_labels_the_stack_does(
    labels: int, counts: bool, vectors: bool
) -> None:
    rows, y = _samples(labels, counts=counts, vectors=vectors)
    model = _stack().fit(rows[:160], y[:160])

    assert model.score(rows[160:], y[160:]) > 0.85
    probabilities = model.predict_proba(rows[160:])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert list(model.classes_) == sorted(set(y))
    of_counts, of_vectors = model.weights_
    if counts != vectors:
        assert (of_counts > of_vectors * 2) if counts else (of_vectors > of_counts * 2)


def test_a_label_of_one_sample_is_learned_and_weighs_nothing() -> None:
    rows, y = _samples(2, counts=True, vectors=True)
    y = y.astype("<U9")
    y[7] = "only once"

    model = _stack().fit(rows, y)

    assert list(model.classes_) == ["a", "b", "only once"]
    assert model.score(rows, y) > 0.9


def test_two_samples_are_enough_to_fit() -> None:
    rows, y = _samples(2, counts=True, vectors=True)

    model = _stack().fit(rows[:2], y[:2])

    assert model.weights_.tolist() == [1.0, 1.0]
    assert np.isfinite(model.predict_proba(rows)).all()
