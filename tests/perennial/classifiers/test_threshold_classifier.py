"""A model with a threshold answers as the model and the threshold do, compiled or not."""

from __future__ import annotations

import numpy as np
import pytest
import skops.io as skops
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline

from perennial.classifiers.threshold_classifier import ThresholdClassifier, scores_of
from perennial.inference.base import PipelinePredictor
from perennial.inference.compiling import compile_text_predictor
from perennial.registry.artifact import TRUSTED_TYPES
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import TextNormalizer
from perennial.thresholds.calibration import Calibration, probabilities_of
from perennial.thresholds.threshold import weights_of
from tests.perennial.examples import split_labels


@pytest.fixture(scope="module")
def fitted(snippets: list[tuple[str, int]]) -> dict[str, Pipeline]:
    """Models of short reviews: logistic regression, naive Bayes, and one that is not linear."""
    inputs, labels = split_labels(snippets[:600])
    final = {
        "logistic": (TfidfTransformer(), LogisticRegression(C=20)),
        "bayes": (MultinomialNB(),),
        "forest": (RandomForestClassifier(20, random_state=0),),
    }
    return {
        name: make_pipeline(TextNormalizer(), NgramCounter(), *steps).fit(inputs, labels)
        for name, steps in final.items()
    }


CALIBRATION = Calibration(0.4, (0.0, 0.3))


def with_threshold(
    model: Pipeline, weights: tuple[float, ...] | None = weights_of(0.2)
) -> Pipeline:
    last = ThresholdClassifier.from_fitted(model[-1], weights, CALIBRATION)
    return Pipeline([*model.steps[:-1], ("classify", last)])


@pytest.mark.parametrize("name", ["logistic", "bayes", "forest"])
@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.77])
def test_a_threshold_is_the_one_of_scikit_learn(
    name: str, threshold: float, fitted: dict[str, Pipeline], snippets: list[tuple[str, int]]
) -> None:
    model, inputs = fitted[name], split_labels(snippets[600:900])[0]
    matrix = model[:-1].transform(inputs)
    theirs = FixedThresholdClassifier(
        FrozenEstimator(model[-1]),
        threshold=threshold,
        pos_label="positive",
        response_method="predict_proba",
    ).fit(matrix, np.resize(["negative", "positive"], len(inputs)))

    ours = ThresholdClassifier.from_fitted(model[-1], weights_of(threshold), None)

    # Theirs gives the label at the threshold itself, ours above it.
    apart = model[-1].predict_proba(matrix)[:, 1] != threshold
    assert apart.sum() > 200
    np.testing.assert_array_equal(ours.predict(matrix)[apart], theirs.predict(matrix)[apart])
    np.testing.assert_array_equal(ours.predict_proba(matrix), theirs.predict_proba(matrix))


@pytest.mark.parametrize("name", ["logistic", "bayes"])
def test_a_compiled_model_answers_as_the_pipeline_with_its_threshold(
    name: str, fitted: dict[str, Pipeline], snippets: list[tuple[str, int]]
) -> None:
    model = with_threshold(fitted[name])
    inputs = ["", "nothing known: xyzzy", *split_labels(snippets[500:1000])[0]]

    predictor = compile_text_predictor(model)

    assert predictor is not None
    ours = predictor.probabilities(inputs)
    np.testing.assert_allclose(ours, model.predict_proba(inputs), rtol=0, atol=1e-9)
    labels = [predictor.classes[position] for position in predictor.decide(ours)]
    assert labels == model.predict(inputs).tolist()
    assert labels != [predictor.classes[position] for position in ours.argmax(axis=1)]
    assert [predictor.decide(ours[row : row + 1])[0] for row in range(50)] == predictor.decide(
        ours
    )[:50]
    for text in inputs[:20]:
        moved = sum(each.contribution for each in predictor.explain(text, "positive", limit=None))
        log_odds = np.diff(np.log(predictor.probabilities([text])[0]))[0]
        assert predictor.baseline("positive") + moved == pytest.approx(log_odds, abs=1e-9)


def test_a_model_that_cannot_be_compiled_gives_its_own_labels(
    fitted: dict[str, Pipeline], snippets: list[tuple[str, int]]
) -> None:
    model, inputs = with_threshold(fitted["forest"]), split_labels(snippets[600:800])[0]

    predictor = PipelinePredictor(model)

    assert compile_text_predictor(model) is None
    positions = predictor.decide(predictor.probabilities(inputs))
    assert [predictor.classes[each] for each in positions] == model.predict(inputs).tolist()


def test_three_classes_are_calibrated_alike_by_pipeline_and_compiled(
    snippets: list[tuple[str, int]],
) -> None:
    inputs, _ = split_labels(snippets[:300])
    labels = np.resize(["a", "b", "c"], 300)
    model = make_pipeline(TextNormalizer(), NgramCounter(), MultinomialNB()).fit(inputs, labels)
    last = ThresholdClassifier.from_fitted(
        model[-1], (0.2, 0.3, 0.5), Calibration(0.3, (0.0, -0.2, 0.4))
    )
    model = Pipeline([*model.steps[:-1], ("classify", last)])

    predictor = compile_text_predictor(model)

    assert predictor is not None
    ours = predictor.probabilities(inputs)
    np.testing.assert_allclose(ours, model.predict_proba(inputs), rtol=0, atol=1e-9)
    assert [predictor.classes[each] for each in predictor.decide(ours)] == model.predict(
        inputs
    ).tolist()


def test_a_saved_threshold_is_trusted_and_answers_as_before(
    fitted: dict[str, Pipeline], snippets: list[tuple[str, int]]
) -> None:
    model, inputs = with_threshold(fitted["logistic"]), split_labels(snippets[:50])[0]

    restored = skops.loads(skops.dumps(model), trusted=list(TRUSTED_TYPES))

    np.testing.assert_array_equal(restored.predict_proba(inputs), model.predict_proba(inputs))
    np.testing.assert_array_equal(restored.predict(inputs), model.predict(inputs))


def test_a_threshold_classifier_can_be_cloned_and_fitted_again(fitted: dict[str, Pipeline]) -> None:
    model = ThresholdClassifier.from_fitted(fitted["bayes"][-1], (0.2, 0.8), CALIBRATION)
    matrix, labels = np.eye(4), ["negative", "positive"] * 2

    again = clone(model).fit(matrix, labels)

    assert (again.weights, again.calibration) == ((0.2, 0.8), CALIBRATION)
    assert again.estimator_ is not fitted["bayes"][-1]


def test_a_weight_for_each_class_or_none() -> None:
    with pytest.raises(ValueError, match="weights has 3 values, but there are 2 classes"):
        ThresholdClassifier(LogisticRegression(), weights=(1, 2, 3)).fit(np.eye(2), ["a", "b"])


def test_scores_are_those_behind_the_probabilities(fitted: dict[str, Pipeline]) -> None:
    for model in fitted.values():
        matrix = model[:-1].transform(["a good film", "a bad film", ""])
        scores = scores_of(model[-1], matrix)
        np.testing.assert_allclose(
            probabilities_of(scores), model[-1].predict_proba(matrix), rtol=0, atol=1e-9
        )
