"""A candidate is fitted to the same model as by its pipeline, in less memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate
from perennial.estimators import ESTIMATORS
from perennial.training.fitting import compact, fit
from perennial.training.pipelines import build_classifier
from tests.perennial.conftest import PROBLEMS

COMMITTED = load_problem(PROBLEMS / "sentiment.yaml")
LABELS = ("negative", "positive")
WEIGHTS = (
    {"weighting": "counts"},
    {"weighting": "tfidf"},
    {"weighting": "tfidf", "sublinear": True},
)


def made(
    documents: int, features: int, *, density: float = 0.1
) -> tuple[sparse.csr_array, NDArray[np.str_]]:
    """Return counts in which every tenth feature speaks for one label."""
    draw = np.random.default_rng(3)
    counts = sparse.random_array(
        (documents, features),
        density=density,
        format="csr",
        rng=draw,
        data_sampler=lambda size: draw.integers(1, 400, size).astype(np.float64),
    )
    said = counts[:, ::10].sum(axis=1)
    return counts, np.where(said > np.median(said), *reversed(LABELS))


def candidate_of(**fields: object) -> Problem:
    """Return the problem with one candidate, called `one`."""
    candidate = Candidate.model_validate({"preparation": "plain", **fields})
    return COMMITTED.model_copy(update={"candidates": {"one": candidate}})


@pytest.mark.parametrize("features", WEIGHTS, ids=str)
@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_the_model_is_that_of_the_pipeline_to_the_last_digit(
    estimator: str, features: dict[str, object]
) -> None:
    problem = candidate_of(features=features, estimator=estimator)
    counts, labels = made(200, 60)

    model = fit(build_classifier(problem, "one"), compact(counts), labels)

    expected = build_classifier(problem, "one").fit(counts, labels)
    np.testing.assert_array_equal(model.predict_proba(counts), expected.predict_proba(counts))


def test_so_it_is_where_there_are_many_blocks_of_rows() -> None:
    problem = candidate_of(
        features=WEIGHTS[2], estimator="nb_svm", parameters={"beta": 0.7, "tol": 0.01}
    )
    counts, labels = made(12_000, 4_000, density=0.06)

    model = fit(build_classifier(problem, "one"), compact(counts), labels)

    expected = build_classifier(problem, "one").fit(counts, labels)
    np.testing.assert_array_equal(model.predict_proba(counts), expected.predict_proba(counts))


def test_the_counts_stay_as_they_are() -> None:
    problem = candidate_of(features=WEIGHTS[2], estimator="nb_svm")
    counts, labels = made(200, 60)
    whole = compact(counts)

    fit(build_classifier(problem, "one"), whole, labels)

    assert whole.dtype == np.uint16
    np.testing.assert_array_equal(whole.toarray(), counts.toarray())


@pytest.mark.parametrize("estimator", ["nb_svm", "logistic_regression"])
def test_a_fit_holds_one_number_for_each_count(estimator: str) -> None:
    parameters = {"solver": "liblinear"} if estimator == "logistic_regression" else {}
    problem = candidate_of(features=WEIGHTS[2], estimator=estimator, parameters=parameters)
    counts, labels = made(40_000, 2_000, density=0.04)
    whole = compact(counts)
    classifier = build_classifier(problem, "one")
    tracemalloc.start()

    fit(classifier, whole, labels)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Blocks of rows and the labels come on top; liblinear's own memory is not traced.
    assert peak < 2 * counts.nnz * np.dtype(np.float64).itemsize
