"""A compiled stack of counts and vectors answers as its pipeline does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from perennial.classifiers.stacked import StackedClassifier
from perennial.classifiers.threshold_classifier import ThresholdClassifier
from perennial.embeddings.counter import EmbeddedCounter
from perennial.embeddings.static import WIDTH
from perennial.inference.base import PipelinePredictor
from perennial.inference.compiled_stack import CompiledStackPredictor
from perennial.inference.predictor import build_predictor
from perennial.registry.artifact import TOLERANCE
from perennial.text.characters import CharacterCounter
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import TextNormalizer
from perennial.text.words_and_characters import WordAndCharacterCounter
from perennial.thresholds.calibration import Calibration
from tests.perennial.examples import some_examples

TEXTS = [
    f"{adverb} {word} {noun}"
    for noun in ("film", "plot", "actor")
    for adverb in ("very", "rather", "not")
    for word in ("good", "bad", "long", "lovely")
]
TWO = ["good" if "good" in text or "lovely" in text else "bad" for text in TEXTS]
THREE = [text.split()[2] for text in TEXTS]
COUNTERS: dict[str, Callable[[], Any]] = {
    "words": NgramCounter,
    "pairs": lambda: NgramCounter(bigrams=True),
    "characters": CharacterCounter,
    "both": WordAndCharacterCounter,
}
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: LogisticRegression(C=10),
    "svm": lambda: CalibratedClassifierCV(LinearSVC(), method="sigmoid", ensemble=False, cv=3),
    "bayes": MultinomialNB,
}
ODD = ["", "film", "GOOD good-films", "\ud800 bad", "a\x00b very good", "😀", "good " * 3_000]


def fitted(counter: str, classifier: str, labels: Sequence[str] = TWO) -> Pipeline:
    lexical = Pipeline(
        [("weigh", TfidfTransformer(sublinear_tf=True)), ("classify", CLASSIFIERS[classifier]())]
    )
    steps = [
        ("normalize", TextNormalizer()),
        ("count", EmbeddedCounter(COUNTERS[counter]())),
        ("classify", StackedClassifier(lexical, width=WIDTH, random_state=0)),
    ]
    return Pipeline(steps).fit(TEXTS, labels)


def assert_same(model: Pipeline, texts: list[str]) -> None:
    predictor, pipeline = build_predictor(model, TEXTS), PipelinePredictor(model)
    assert isinstance(predictor, CompiledStackPredictor)
    for _ in range(2):
        found, expected = predictor.assess(texts), pipeline.assess(texts)
        np.testing.assert_allclose(
            found.probabilities, expected.probabilities, rtol=0, atol=TOLERANCE
        )
        assert all(0 <= known <= 1 for known in (*found.known, *expected.known))
        assert predictor.decide(found.probabilities) == pipeline.decide(expected.probabilities)


@pytest.mark.parametrize("counter", COUNTERS)
@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_stack_answers_as_its_pipeline_does(counter: str, classifier: str) -> None:
    assert_same(fitted(counter, classifier), [*TEXTS, *ODD])
    assert_same(fitted(counter, classifier, THREE), [*TEXTS, *ODD])


@pytest.mark.parametrize("counter", COUNTERS)
def test_as_much_of_a_text_is_known_as_the_pipeline_says(counter: str) -> None:
    model = fitted(counter, "logistic")
    texts = ["a very good film", "good zzz", "", "qqq"]

    found = build_predictor(model, TEXTS).assess(texts)

    assert found.known == pytest.approx(PipelinePredictor(model).assess(texts).known)
    assert found.known[1] == 0.5


WORDS = fitted("pairs", "svm", THREE)


@some_examples
@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_texts_are_answered_as_by_the_pipeline(texts: list[str]) -> None:
    assert_same(WORDS, texts)


@pytest.mark.parametrize("calibration", [None, Calibration(1.7, (0.0, 0.4))])
def test_a_threshold_and_a_calibration_are_kept(calibration: Calibration | None) -> None:
    model = fitted("words", "logistic")
    last = ThresholdClassifier.from_fitted(model[-1], (0.8, 0.2), calibration)

    assert_same(Pipeline([*model.steps[:-1], ("classify", last)]), [*TEXTS, *ODD])


def test_what_moves_a_decision_is_what_the_pipeline_says() -> None:
    model = fitted("words", "logistic")
    predictor = build_predictor(model, TEXTS)

    found = predictor.explanation("a very good film", "good")

    expected = PipelinePredictor(model).explanation("a very good film", "good")
    assert [each.feature for each in found.contributions] == [
        each.feature for each in expected.contributions
    ]
    assert found.baseline == pytest.approx(expected.baseline)


def test_words_that_are_forgotten_are_found_again() -> None:
    predictor = build_predictor(WORDS, TEXTS)
    assert isinstance(predictor, CompiledStackPredictor)
    before = predictor.probabilities(TEXTS)

    predictor.forget()

    np.testing.assert_array_equal(predictor.probabilities(TEXTS), before)


def test_a_stack_of_trees_stays_the_pipeline_it_is() -> None:
    steps = [
        ("normalize", TextNormalizer()),
        ("count", EmbeddedCounter(NgramCounter())),
        (
            "classify",
            StackedClassifier(
                Pipeline([("classify", RandomForestClassifier(5))]), width=WIDTH, random_state=0
            ),
        ),
    ]
    model = Pipeline(steps).fit(TEXTS, TWO)

    assert isinstance(build_predictor(model, TEXTS), PipelinePredictor)
