"""A candidate becomes a pipeline that takes raw texts, the same whole as from its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skops import io as skops

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate, Features
from perennial.estimators import ESTIMATORS
from perennial.registry.artifact import TRUSTED_TYPES
from perennial.training.pipelines import (
    assemble,
    build_classifier,
    build_counter,
    build_normalizer,
)
from tests.perennial.conftest import PROBLEMS

GOOD = ["A great film, I loved it!", "Wonderful cast and a great story.", "I loved the music."]
BAD = ["A boring film, I hated it.", "Terrible cast and a boring story?", "I hated the music."]
TEXTS = [*GOOD, *BAD] * 3
LABELS = np.array(["positive"] * 3 + ["negative"] * 3, dtype=np.str_).tolist() * 3

COMMITTED = load_problem(PROBLEMS / "sentiment.yaml")


def with_candidate(problem: Problem, **fields: Any) -> Problem:
    """Return the problem with one candidate, called `one`, that differs in these fields."""
    base = {
        "preparation": "plain",
        "features": {"min_documents": 1},
        "estimator": "logistic_regression",
    }
    candidate = Candidate.model_validate({**base, **fields})
    return problem.model_copy(update={"candidates": {"one": candidate}})


def one_of_each() -> Problem:
    """Return the committed problem with a candidate of every estimator beside its own."""
    plain = {"preparation": "plain", "features": {"min_documents": 1}}
    each = {
        name.replace("_", "-"): Candidate.model_validate({**plain, "estimator": name})
        for name in ESTIMATORS
    }
    return COMMITTED.model_copy(update={"candidates": each | dict(COMMITTED.candidates)})


EVERY = one_of_each()
CANDIDATES = list(EVERY.candidates)


@pytest.fixture
def every() -> Problem:
    return EVERY


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_candidate_learns_from_texts_and_answers_texts(name: str, every: Problem) -> None:
    candidate = every.candidates[name]
    model = assemble(
        build_normalizer(every, candidate),
        build_counter(candidate.features),
        build_classifier(every, name),
    )

    model.fit(TEXTS, LABELS)

    assert model.predict(["great, I loved it", "boring, I hated it"]).tolist() == [
        "positive",
        "negative",
    ]
    probabilities = model.predict_proba(["", "never seen before", *TEXTS])
    assert probabilities.shape == (2 + len(TEXTS), 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_model_put_together_from_fitted_parts_is_the_model_fitted_whole(
    name: str, every: Problem
) -> None:
    candidate = every.candidates[name]
    normalizer = build_normalizer(every, candidate)
    counter = build_counter(candidate.features)
    counts = counter.fit_transform(normalizer.transform(TEXTS))
    classifier = build_classifier(every, name).fit(counts, LABELS)
    whole = assemble(
        build_normalizer(every, candidate),
        build_counter(candidate.features),
        build_classifier(every, name),
    ).fit(TEXTS, LABELS)

    assembled = assemble(normalizer, counter, classifier)

    asked = ["", "A great new film?", *TEXTS]
    np.testing.assert_array_equal(assembled.predict_proba(asked), whole.predict_proba(asked))
    np.testing.assert_array_equal(assembled.predict_proba(TEXTS), classifier.predict_proba(counts))


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_saved_model_answers_as_before(name: str, every: Problem) -> None:
    candidate = every.candidates[name]
    model = assemble(
        build_normalizer(every, candidate),
        build_counter(candidate.features),
        build_classifier(every, name),
    ).fit(TEXTS, LABELS)

    restored = skops.loads(skops.dumps(model), trusted=list(TRUSTED_TYPES))

    np.testing.assert_array_equal(restored.predict_proba(TEXTS), model.predict_proba(TEXTS))


def test_the_preparation_reaches_the_normaliser(problem: Problem) -> None:
    for candidate in problem.candidates.values():
        preparation = problem.preparations[candidate.preparation]

        assert build_normalizer(problem, candidate).preparation == preparation


def test_the_features_reach_the_counter() -> None:
    counter = build_counter(Features(bigrams=True, min_documents=3, max_features=9, binary=True))

    assert counter.get_params() == {
        "bigrams": True,
        "min_documents": 3,
        "max_features": 9,
        "binary": True,
    }


@pytest.mark.parametrize(
    ("features", "steps"),
    [
        ({"weighting": "counts"}, ["classify"]),
        ({"weighting": "tfidf"}, ["weigh", "classify"]),
    ],
)
def test_only_tfidf_weighs_the_counts(
    features: dict[str, str], steps: list[str], problem: Problem
) -> None:
    pipeline = build_classifier(with_candidate(problem, features=features), "one")

    assert list(pipeline.named_steps) == steps


@pytest.mark.parametrize("sublinear", [False, True])
def test_a_problem_may_ask_for_the_logarithm_of_the_counts(
    sublinear: bool, problem: Problem
) -> None:
    features = {"weighting": "tfidf", "sublinear": sublinear}

    pipeline = build_classifier(with_candidate(problem, features=features), "one")

    assert pipeline.named_steps["weigh"].sublinear_tf is sublinear


def test_parameters_reach_the_estimator(problem: Problem) -> None:
    one = with_candidate(problem, parameters={"C": 0.25, "solver": "liblinear", "max_iter": 7})

    estimator = build_classifier(one, "one").named_steps["classify"]

    assert (estimator.C, estimator.solver, estimator.max_iter) == (0.25, "liblinear", 7)


def test_the_seed_of_the_problem_reaches_an_estimator_that_draws(problem: Problem) -> None:
    seeded = with_candidate(problem).model_copy(update={"seed": 7})

    assert build_classifier(seeded, "one").named_steps["classify"].random_state == 7


def test_a_seed_of_its_own_goes_before_the_seed_of_the_problem(problem: Problem) -> None:
    own = with_candidate(problem, parameters={"random_state": 3})

    assert build_classifier(own, "one").named_steps["classify"].random_state == 3


@pytest.mark.parametrize("name", CANDIDATES)
def test_training_twice_gives_the_same_model(name: str, every: Problem) -> None:
    counts = build_counter(Features()).fit_transform(
        build_normalizer(every, every.candidates[name]).transform(TEXTS)
    )

    one, other = (build_classifier(every, name).fit(counts, LABELS) for _ in range(2))

    np.testing.assert_array_equal(one.predict_proba(counts), other.predict_proba(counts))
