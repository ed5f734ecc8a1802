"""NB-SVM weighs features as the paper says, and is linear wherever it is used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from skops import io as skops

from perennial.classifiers.linear_form import linear_form
from perennial.classifiers.nb_svm import NbSvm
from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate
from perennial.inference.compiling import compile_text_predictor
from perennial.registry.artifact import TRUSTED_TYPES
from perennial.training.pipelines import assemble, build_classifier, build_counter, build_normalizer
from tests.perennial.examples import some_examples

TRUSTED = list(TRUSTED_TYPES)
TEXTS = [
    "A great film, I loved it!",
    "Wonderful cast and a great story.",
    "I loved the music, not the end.",
    "A boring film, I hated it.",
    "Terrible cast and a boring, boring story?",
    "I hated the music, but not the end.",
] * 4
LABELS = (["positive"] * 3 + ["negative"] * 3) * 4


def test_the_ratio_counts_in_how_many_samples_of_a_class_a_feature_occurs() -> None:
    counts = sparse.csr_array(np.array([[3, 1], [1, 0], [0, 2], [0, 9]], float))

    ratio = NbSvm(alpha=1.0).fit(counts, ["good", "good", "poor", "poor"]).ratio_

    # good: 2 of the first and 1 of the second; poor: 0 and 2; one is added to each.
    good, poor = np.array([3, 2]) / 5, np.array([1, 3]) / 4
    np.testing.assert_allclose(ratio, np.log(poor / good))


@some_examples
@given(st.integers(0, 2**32 - 1))
def test_without_the_ratio_it_is_logistic_regression(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.7, size=(30, 8)).astype(float)
    labels = np.where(np.arange(30) % 2, "b", "a")
    plain = LogisticRegression(
        C=2.0, solver="liblinear", dual=True, tol=1e-4, max_iter=1000, random_state=seed
    )

    own = NbSvm(C=2.0, beta=0.0, random_state=seed).fit(counts, labels)

    np.testing.assert_allclose(
        own.predict_proba(counts), plain.fit(counts, labels).predict_proba(counts), atol=1e-12
    )


def test_what_separates_the_classes_weighs_more_than_what_does_not() -> None:
    rng = np.random.default_rng(5)
    labels = np.arange(200) % 2
    telling = (labels == 1) & (rng.random(200) < 0.9)
    noise = rng.random((200, 5)) < 0.5
    counts = np.column_stack([telling, noise]).astype(float)

    shares = [
        abs(model.coef_[0, 0]) / np.abs(model.coef_).sum()
        for model in (NbSvm(C=0.1, beta=beta).fit(counts, labels) for beta in (0.0, 0.5, 1.0))
    ]

    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"alpha": 0}, "NbSvm: alpha is 0; it must be above 0."),
        ({"beta": 1.5}, "NbSvm: beta is 1.5; it must be from 0 to 1."),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(
    parameters: dict[str, float], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        NbSvm(**parameters).fit([[1.0], [2.0]], [0, 1])


def test_three_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        NbSvm().fit([[1.0], [2.0], [3.0]], ["a", "b", "c"])


@pytest.mark.parametrize("features", [{"binary": True}, {"weighting": "tfidf", "sublinear": True}])
@pytest.mark.parametrize("bigrams", [False, True])
@pytest.mark.parametrize("estimator", ["nb_svm", "linear_svm"])
def test_compiled_and_read_back_it_answers_as_the_pipeline_does(
    estimator: str, features: dict[str, Any], bigrams: bool, problem: Problem
) -> None:
    candidate = Candidate.model_validate(
        {
            "preparation": "expressive",
            "features": {**features, "bigrams": bigrams, "min_documents": 1},
            "estimator": estimator,
        }
    )
    problem = problem.model_copy(update={"candidates": {"one": candidate}})
    model = assemble(
        build_normalizer(problem, candidate),
        build_counter(candidate.features),
        build_classifier(problem, "one"),
    ).fit(TEXTS, LABELS)
    asked = [*TEXTS, "", "nothing known", "not great, not boring"]
    expected = model.predict_proba(asked)

    predictor = compile_text_predictor(model)
    restored = skops.loads(skops.dumps(model), trusted=TRUSTED)

    assert predictor is not None
    np.testing.assert_allclose(predictor.probabilities(asked), expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(restored.predict_proba(asked), expected)


def test_a_calibration_that_is_no_line_has_no_linear_form() -> None:
    counts = np.random.default_rng(0).poisson(1.0, (60, 4)).astype(float)
    labels = np.arange(60) % 2
    kinds: list[dict[str, Any]] = [{"method": "isotonic"}, {"method": "sigmoid", "ensemble": True}]

    forms = [
        linear_form(
            CalibratedClassifierCV(LogisticRegression(), **{"ensemble": False} | kind, cv=3).fit(
                counts, labels
            )
        )
        for kind in kinds
    ]

    assert forms == [None, None]
