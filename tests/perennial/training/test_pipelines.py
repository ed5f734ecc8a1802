"""A candidate becomes a pipeline that takes raw texts, the same whole as from its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skops import io as skops

from perennial.config.problem import Candidate, Features, Problem
from perennial.errors import ProblemError
from perennial.training.pipelines import (
    assemble,
    build_classifier,
    build_counter,
    build_normalizer,
    check_candidates,
)
from tests.perennial.examples import OUR_CLASSES

GOOD = ["A great film, I loved it!", "Wonderful cast and a great story.", "I loved the music."]
BAD = ["A boring film, I hated it.", "Terrible cast and a boring story?", "I hated the music."]
TEXTS = [*GOOD, *BAD] * 3
LABELS = np.array(["positive"] * 3 + ["negative"] * 3, dtype=np.str_).tolist() * 3

CANDIDATES = [
    "bow-logistic",
    "bow-bayes",
    "tfidf-logistic",
    "tfidf-bayes",
    "bigrams-logistic",
    "bigrams-svm",
    "nbsvm-binary",
    "nbsvm-tfidf",
]


def with_candidate(problem: Problem, **fields: Any) -> Problem:
    """Return the problem with one candidate, called `one`, that differs in these fields."""
    base = {
        "preparation": "plain",
        "features": {"min_documents": 1},
        "estimator": "logistic_regression",
    }
    candidate = Candidate.model_validate({**base, **fields})
    return problem.model_copy(update={"candidates": {"one": candidate}})


def test_every_committed_candidate_is_tried(problem: Problem) -> None:
    assert list(problem.candidates) == CANDIDATES


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_candidate_learns_from_texts_and_answers_texts(name: str, problem: Problem) -> None:
    candidate = problem.candidates[name]
    model = assemble(
        build_normalizer(problem, candidate),
        build_counter(candidate.features),
        build_classifier(problem, name),
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
    name: str, problem: Problem
) -> None:
    candidate = problem.candidates[name]
    normalizer = build_normalizer(problem, candidate)
    counter = build_counter(candidate.features)
    counts = counter.fit_transform(normalizer.transform(TEXTS))
    classifier = build_classifier(problem, name).fit(counts, LABELS)
    whole = assemble(
        build_normalizer(problem, candidate),
        build_counter(candidate.features),
        build_classifier(problem, name),
    ).fit(TEXTS, LABELS)

    assembled = assemble(normalizer, counter, classifier)

    asked = ["", "A great new film?", *TEXTS]
    np.testing.assert_array_equal(assembled.predict_proba(asked), whole.predict_proba(asked))
    np.testing.assert_array_equal(assembled.predict_proba(TEXTS), classifier.predict_proba(counts))


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_saved_model_answers_as_before(name: str, problem: Problem) -> None:
    candidate = problem.candidates[name]
    model = assemble(
        build_normalizer(problem, candidate),
        build_counter(candidate.features),
        build_classifier(problem, name),
    ).fit(TEXTS, LABELS)

    restored = skops.loads(skops.dumps(model), trusted=OUR_CLASSES)

    np.testing.assert_array_equal(restored.predict_proba(TEXTS), model.predict_proba(TEXTS))


def test_the_preparation_reaches_the_normaliser(problem: Problem) -> None:
    for candidate in problem.candidates.values():
        steps = problem.preparations[candidate.preparation].steps

        assert build_normalizer(problem, candidate).steps == steps


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
def test_training_twice_gives_the_same_model(name: str, problem: Problem) -> None:
    counts = build_counter(Features()).fit_transform(
        build_normalizer(problem, problem.candidates[name]).transform(TEXTS)
    )

    one, other = (build_classifier(problem, name).fit(counts, LABELS) for _ in range(2))

    np.testing.assert_array_equal(one.predict_proba(counts), other.predict_proba(counts))


@pytest.mark.parametrize(
    ("estimator", "allowed"),
    [("logistic_regression", "max_iter"), ("multinomial_naive_bayes", "fit_prior")],
)
def test_a_parameter_the_estimator_does_not_have_is_named_with_those_it_has(
    estimator: str, allowed: str, problem: Problem
) -> None:
    wrong = with_candidate(problem, estimator=estimator, parameters={"depth": 3})

    with pytest.raises(ProblemError) as error:
        check_candidates(wrong)

    assert str(error.value).startswith(
        f"problems/sentiment.yaml: candidates.one.parameters.depth is 3, but {estimator} has no "
        "such parameter; it has "
    )
    assert allowed in str(error.value)


def test_the_committed_candidates_have_parameters_that_exist(problem: Problem) -> None:
    check_candidates(problem)
