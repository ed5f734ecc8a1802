"""A compiled model of characters answers as its pipeline does, in every script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from skops.io import dumps, loads

from perennial.classifiers.nb_svm import NbSvm
from perennial.inference.base import PipelinePredictor
from perennial.inference.compiled_characters import CompiledCharacterPredictor
from perennial.inference.predictor import build_predictor
from perennial.reasons import WarningCode
from perennial.registry.artifact import TOLERANCE, TRUSTED_TYPES
from perennial.text.characters import CharacterCounter
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import TextNormalizer
from perennial.text.words_and_characters import WordAndCharacterCounter
from tests.perennial.examples import some_examples

TEXTS = [
    "这部电影很好看",
    "故事不好\uff0c很无聊",
    "演员不错\uff01很好",
    "无聊的电影",
    "a good film",
    "a bad film",
]
LABELS = ["good", "bad", "good", "bad", "good", "bad"]
COUNTERS: dict[str, Callable[..., Any]] = {
    "characters": CharacterCounter,
    "both": WordAndCharacterCounter,
    "both with pairs": lambda **k: WordAndCharacterCounter(bigrams=True, **k),
}
CLASSIFIERS = {
    "logistic": lambda: LogisticRegression(C=10),
    "nb-svm": lambda: NbSvm(random_state=0),
}
ODD = [
    "",
    "很",
    "GOOD GOOD good-films",
    "&lt;b&gt;很好&lt;/b&gt;",
    "\ud800很",
    "a\x00b 很 好",
    "ÿ",
    "😀",
]


def fitted(counter: str, classifier: str, *, weigh: bool = True, binary: bool = False) -> Pipeline:
    steps = [
        ("normalize", TextNormalizer()),
        ("count", COUNTERS[counter](binary=binary)),
        *([("weigh", TfidfTransformer(sublinear_tf=True))] if weigh else []),
        ("classify", CLASSIFIERS[classifier]()),
    ]
    return Pipeline(steps).fit(TEXTS, LABELS)


def assert_same(model: Pipeline, texts: list[str]) -> None:
    predictor = build_predictor(model, TEXTS)
    assert isinstance(predictor, CompiledCharacterPredictor)
    expected = PipelinePredictor(model).probabilities(texts)
    for _ in range(2):
        found = predictor.probabilities(texts)
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("counter", COUNTERS)
@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize(("weigh", "binary"), [(True, False), (False, False), (False, True)])
def test_it_gives_the_probabilities_of_the_pipeline(
    counter: str, classifier: str, weigh: bool, binary: bool
) -> None:
    assert_same(fitted(counter, classifier, weigh=weigh, binary=binary), [*TEXTS, *ODD])


BOTH = fitted("both with pairs", "nb-svm")


@some_examples
@given(st.lists(st.text(alphabet="很好不无聊电影 agodbf!&;<>\u0301", max_size=30), min_size=1))
def test_whatever_is_written_it_gives_the_probabilities_of_the_pipeline(texts: list[str]) -> None:
    assert_same(BOTH, texts)


def test_more_than_two_labels_learned_one_against_the_rest_are_compiled_too() -> None:
    model = Pipeline(
        [
            ("normalize", TextNormalizer()),
            ("count", CharacterCounter()),
            ("classify", OneVsRestClassifier(NbSvm(random_state=0))),
        ]
    ).fit(TEXTS, ["good", "bad", "good", "odd", "odd", "bad"])

    assert_same(model, [*TEXTS, *ODD])


@pytest.mark.parametrize("counter", COUNTERS)
def test_contributions_and_baseline_add_up_to_the_log_odds(counter: str) -> None:
    model = fitted(counter, "logistic")
    predictor = build_predictor(model, TEXTS)
    assert isinstance(predictor, CompiledCharacterPredictor)

    for text in [*TEXTS, *ODD]:
        (row,) = predictor.probabilities([text])
        total = sum(each.contribution for each in predictor.explain(text, "good", None))
        assert total + predictor.baseline("good") == pytest.approx(np.log(row[1] / row[0]))


def test_an_explanation_says_where_the_characters_stand() -> None:
    predictor = build_predictor(fitted("characters", "logistic"), TEXTS)
    text = "嗯\uff0c很好看 - FILM"

    places = {each.feature: each.spans for each in predictor.explain(text, "good", None)}

    assert [text[start:end] for start, end in places["很好看"]] == ["很好看"]
    assert [text[start:end] for start, end in places[" 很"]] == ["很"]
    assert [text[start:end] for start, end in places["ilm"]] == ["ILM"]
    assert [text[start:end] for start, end in places["m "]] == ["M"]


def test_one_endless_word_is_explained_in_many_steps() -> None:
    predictor = build_predictor(fitted("characters", "logistic"), TEXTS)

    # Whether or not its n-grams are known, they are looked up.
    known, unknown = ("很好看" * 10_000, "ÿþ" * 15_000)

    assert sum(1 for _ in predictor.explanation_in_steps(known, "good")) > 30
    assert sum(1 for _ in predictor.explanation_in_steps(unknown, "good")) > 30


@pytest.mark.parametrize("counter", [NgramCounter, CharacterCounter, WordAndCharacterCounter])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_text_of_which_nothing_is_known_says_so(counter: Any, compiled: bool) -> None:
    classifier = LogisticRegression() if compiled else RandomForestClassifier(3, random_state=0)
    model = Pipeline(
        [("normalize", TextNormalizer()), ("count", counter()), ("classify", classifier)]
    ).fit(TEXTS, LABELS)
    predictor = build_predictor(model, TEXTS)

    probabilities, warnings, known = predictor.assess(["a film", "ÿþ", "", "😀"])

    assert warnings is not None
    said = [[each.code for each in found] for found in warnings]
    assert said == [[], *[[WarningCode.NOTHING_KNOWN]] * 3]
    np.testing.assert_allclose(probabilities[1:], np.tile(predictor.probabilities([""]), (3, 1)))
    assert known[1:] == [0.0, 0.0, 0.0]
    assert known[0] > 0
    assert predictor.assess(["a film"]).warnings is None
    assert [each.code for each in predictor.warnings("😀")] == [WarningCode.NOTHING_KNOWN]


@pytest.mark.parametrize("counter", COUNTERS)
def test_its_file_names_trusted_types_alone(counter: str) -> None:
    model = fitted(counter, "nb-svm")

    found = loads(dumps(model), trusted=list(TRUSTED_TYPES))

    np.testing.assert_array_equal(found.predict_proba(TEXTS), model.predict_proba(TEXTS))


def test_forgotten_words_change_no_answer() -> None:
    predictor = build_predictor(BOTH, TEXTS)
    assert isinstance(predictor, CompiledCharacterPredictor)
    before = predictor.probabilities(TEXTS)

    predictor.forget()

    np.testing.assert_array_equal(predictor.probabilities(TEXTS), before)
