"""A linear model of many numbers is fitted over blocks, in memory or not, to the same optimum."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from benchmarks.common import read_reviews
from perennial.classifiers.logistic_blocks import logistic_problem, minimise, objective
from perennial.classifiers.logistic_sums import BlocksHere
from perennial.classifiers.nb_svm import NbSvm
from perennial.config.loader import load_problem
from perennial.settings import get_settings
from perennial.training import fitting
from perennial.training.convergence import end_of_fit
from perennial.training.fitting import compact, fit, is_over_blocks
from perennial.training.pipelines import build_classifier, build_counter, build_normalizer
from tests.perennial.conftest import PROBLEMS
from tests.perennial.training.test_fitting import WEIGHTS, candidate_of, made

COMMITTED = load_problem(PROBLEMS / "sentiment.yaml")
REVIEWS = 1_000


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Allow a fit no more than a kilobyte."""
    monkeypatch.setenv("MEMORY_LIMIT", "1KB")
    get_settings.cache_clear()
    yield
    monkeypatch.undo()
    get_settings.cache_clear()


def reviews(count: int) -> tuple[sparse.csr_array, NDArray[np.str_]]:
    """Return the counts and labels of some film reviews, as the committed problem makes them."""
    rows = random.Random(0).sample(read_reviews().to_pylist(), count)
    candidate = COMMITTED.candidates["nbsvm-tfidf"]
    texts = pa.array([row["text"] for row in rows], pa.large_string())
    tokens = build_normalizer(COMMITTED, candidate).transform(texts)
    counts = build_counter(candidate.features).fit_transform(tokens)
    return compact(counts), np.array([str(row["label"]) for row in rows])


def objective_of(model: Pipeline, counts: sparse.csr_array, labels: NDArray[np.str_]) -> float:
    """Return what a fitted candidate has minimised."""
    *before, (_, found) = model.steps
    features = counts.astype(np.float64)
    for _, weigh in before:
        features = weigh.transform(features)
    scales = np.ones(features.shape[1])
    if isinstance(found, NbSvm):
        scales = (1 - found.beta) + found.beta * np.abs(found.ratio_)
    # A feature that tells nothing has no weight.
    weights = np.divide(found.coef_, scales, out=np.zeros_like(found.coef_), where=scales > 0)
    codes = np.unique(labels, return_inverse=True)[1]
    problem = logistic_problem(
        BlocksHere(features), codes, np.full(len(codes), found.C), scales=scales
    )
    return objective(problem, np.column_stack([weights, found.intercept_]))[0]


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    "count",
    [REVIEWS, pytest.param(25_000, marks=[pytest.mark.thorough, pytest.mark.timeout(1800)])],
)
@pytest.mark.parametrize("name", ["nbsvm-tfidf", "nbsvm-binary", "tfidf-logistic"])
def test_film_reviews_get_what_liblinear_gives(name: str, count: int) -> None:
    counts, labels = reviews(count)
    candidate = COMMITTED.candidates[name]
    parameters = candidate.parameters | {"tol": 1e-6, "max_iter": 20_000}
    exact = candidate.model_copy(update={"parameters": parameters})
    problem = COMMITTED.model_copy(update={"candidates": {name: exact}})
    learned = np.arange(len(labels)) % 5 > 0
    assert is_over_blocks(build_classifier(problem, name), counts)

    model = fit(build_classifier(problem, name), counts[learned], labels[learned])

    usual = build_classifier(problem, name).fit(counts[learned], labels[learned])
    assert objective_of(model, counts[learned], labels[learned]) == pytest.approx(
        objective_of(usual, counts[learned], labels[learned]), rel=1e-6
    )
    np.testing.assert_allclose(
        model.predict_proba(counts[~learned]), usual.predict_proba(counts[~learned]), atol=1e-3
    )


@pytest.mark.parametrize("solver", ["liblinear", "lbfgs"])
def test_the_objective_is_as_small_as_scikit_learn_makes_it(solver: str) -> None:
    counts, labels = made(400, 60)
    codes = (labels == "positive").astype(np.int64)
    usual = LogisticRegression(C=3.0, solver=solver, tol=1e-9, max_iter=50_000).fit(counts, codes)
    problem = logistic_problem(
        BlocksHere(counts), codes, np.full(400, 3.0), penalises_intercept=solver == "liblinear"
    )

    found = minimise(problem, tol=1e-9, max_iter=5_000)

    expected, _ = objective(problem, np.column_stack([usual.coef_, usual.intercept_]))
    assert found.objective == pytest.approx(expected, rel=1e-6)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_so_it_is_with_three_labels_and_with_weights_of_classes(class_weight: str | None) -> None:
    counts, labels = made(600, 40)
    labels = labels.astype("U9")
    labels[np.arange(0, 600, 7)] = "mixed"
    problem = candidate_of(
        features=WEIGHTS[1],
        estimator="logistic_regression",
        parameters={"class_weight": class_weight, "tol": 1e-8, "max_iter": 5_000},
    )

    model = fit(build_classifier(problem, "one"), compact(counts), labels)

    usual = build_classifier(problem, "one").fit(counts, labels)
    assert model.classes_.tolist() == usual.classes_.tolist()
    np.testing.assert_allclose(model.predict_proba(counts), usual.predict_proba(counts), atol=1e-3)


@pytest.mark.parametrize(
    ("estimator", "parameters"),
    [
        ("multinomial_naive_bayes", {}),
        ("logistic_regression", {"l1_ratio": 1.0, "solver": "liblinear"}),
        ("logistic_regression", {"fit_intercept": False}),
    ],
)
@pytest.mark.usefixtures("little_memory")
def test_other_estimators_are_fitted_as_ever(estimator: str, parameters: dict[str, object]) -> None:
    problem = candidate_of(features=WEIGHTS[0], estimator=estimator, parameters=parameters)
    counts, labels = made(200, 60)

    assert not is_over_blocks(build_classifier(problem, "one"), compact(counts))
    model = fit(build_classifier(problem, "one"), compact(counts), labels)

    usual = build_classifier(problem, "one").fit(counts, labels)
    np.testing.assert_array_equal(model.predict_proba(counts), usual.predict_proba(counts))


def test_a_small_fit_that_memory_holds_is_not_over_blocks() -> None:
    counts, _ = made(200, 60)

    assert not is_over_blocks(build_classifier(COMMITTED, "nbsvm-tfidf"), compact(counts))


@pytest.mark.parametrize("name", ["nbsvm-tfidf", "nbsvm-binary", "tfidf-logistic"])
def test_many_numbers_that_memory_holds_are_fitted_over_blocks_without_a_file(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, labels = reviews(REVIEWS)
    usual = fit(build_classifier(COMMITTED, name), counts, labels)
    monkeypatch.setattr(fitting, "_LARGE", 1_000)
    monkeypatch.setattr(fitting, "_mapped", None)

    model = fit(build_classifier(COMMITTED, name), counts, labels)

    assert is_over_blocks(build_classifier(COMMITTED, name), counts)
    # Liblinear's tolerance here is a hundredth.
    np.testing.assert_allclose(model.predict_proba(counts), usual.predict_proba(counts), atol=0.02)


@pytest.mark.usefixtures("little_memory")
def test_a_smaller_tolerance_comes_nearer_to_the_optimum() -> None:
    counts, labels = reviews(REVIEWS)

    def found(tol: float) -> float:
        candidate = COMMITTED.candidates["nbsvm-tfidf"]
        parameters = candidate.parameters | {"tol": tol}
        exact = candidate.model_copy(update={"parameters": parameters})
        problem = COMMITTED.model_copy(update={"candidates": {"one": exact}})
        return objective_of(fit(build_classifier(problem, "one"), counts, labels), counts, labels)

    best = found(1e-6)
    assert best < found(1e-2) < best * (1 + 1e-5)


@pytest.mark.usefixtures("little_memory")
def test_a_fit_over_blocks_that_needs_more_steps_than_liblinear_may_take_has_converged() -> None:
    counts, labels = reviews(REVIEWS)
    problem = candidate_of(
        features=WEIGHTS[1], estimator="logistic_regression", parameters={"C": 1e4, "max_iter": 5}
    )

    end = end_of_fit(fit(build_classifier(problem, "one"), counts, labels)[-1])

    assert end.used > 5
    assert end.converged
