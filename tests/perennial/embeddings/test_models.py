"""A model with embeddings is stored, served and explained as others are."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import Pipeline

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.config.sections.candidates import Features
from perennial.embeddings.counter import EmbeddedCounter
from perennial.embeddings.encoder import width_of
from perennial.errors import OutsideError, ProblemError
from perennial.inference.predictor import build_predictor
from perennial.registry.artifact import TRUSTED_TYPES, Golden, check_golden, load_model
from perennial.training.cross_validation import fold_counts
from perennial.training.pipelines import (
    assemble,
    build_classifier,
    build_counter,
    build_normalizer,
)

QUESTIONS = (
    ("where is my card", "my card has not arrived", "when will the card come", "the card is late"),
    (
        "i was charged twice",
        "what is this fee",
        "there is a wrong charge",
        "you took too much money",
    ),
    ("how do i change my pin", "my pin is blocked", "i forgot the pin", "reset the pin please"),
)
LABELS = ("arrival", "fee", "pin")
FILE = {
    "name": "questions",
    "source": {"database": "bank", "collection": "questions"},
    "labels": {label: label for label in LABELS},
    "preparations": {"plain": {"stop_words": "keep", "lemmas": "none"}},
    "candidates": {
        "embedded": {
            "preparation": "plain",
            "features": {"weighting": "tfidf", "min_documents": 1, "embedding": "static"},
            "estimator": "logistic_regression",
        }
    },
}


def _file(embedding: str) -> dict[str, Any]:
    found: dict[str, Any] = deepcopy(FILE)
    found["candidates"]["embedded"]["features"]["embedding"] = embedding
    return found


@pytest.fixture(scope="module", params=["static", "sentence"])
def problem(request: pytest.FixtureRequest) -> Problem:
    return Problem.model_validate(_file(request.param))


@pytest.fixture(scope="module")
def model(problem: Problem) -> Pipeline:
    return _fitted(problem)


def _fitted(problem: Problem) -> Pipeline:
    """Return a fitted model, from texts as they were typed to probabilities."""
    candidate = problem.candidates["embedded"]
    normalizer, counter = build_normalizer(problem, candidate), build_counter(candidate.features)
    texts = [text for some in QUESTIONS for text in some]
    labels = np.repeat(LABELS, 4)
    matrix = counter.fit_transform(normalizer.transform(texts))
    return assemble(normalizer, counter, build_classifier(problem, "embedded").fit(matrix, labels))


def test_words_that_training_never_had_are_understood(model: Pipeline) -> None:
    said = model.predict(["waiting for delivery of cards", "billed two times", "password"])

    assert list(said) == ["arrival", "fee", "pin"]


def test_a_stored_model_answers_as_it_did_and_holds_no_weights(model: Pipeline) -> None:
    from skops.io import dumps, get_untrusted_types

    content = dumps(model)
    again = load_model(content, "The model")

    assert set(get_untrusted_types(data=content)) <= set(TRUSTED_TYPES)
    texts = ["where is it", "", "my pin!"]
    np.testing.assert_array_equal(again.predict_proba(texts), model.predict_proba(texts))
    # The weights alone have 16 MB.
    assert len(content) < 500_000


def test_a_prediction_is_explained_by_the_words_of_the_text(model: Pipeline) -> None:
    predictor = build_predictor(model, ["where is my card"])

    contributions = predictor.explain("please reset my pin", "pin")

    assert contributions[0].feature == "pin"
    assert contributions[0].contribution > 0
    np.testing.assert_allclose(predictor.probabilities(["my pin"]), model.predict_proba(["my pin"]))


@pytest.mark.parametrize("changes", [{"binary": True}, {"max_features": 3}, {"min_documents": 2}])
def test_a_fold_of_an_experiment_chooses_what_is_counted_and_keeps_the_vectors(
    problem: Problem, model: Pipeline, changes: dict[str, Any]
) -> None:
    texts = [text for some in QUESTIONS for text in some]
    everything = model[:2].transform(texts)
    features = problem.candidates["embedded"].features.model_copy(update=changes)
    training = np.arange(len(texts)) % 2 == 0

    learned, others = fold_counts(everything, features, training)

    assert learned.shape[1] == others.shape[1] <= everything.shape[1]
    plain = features.model_copy(update={"embedding": "none"})
    width = width_of(features.embedding)
    counted, _ = fold_counts(everything[:, :-width], plain, training)
    assert (learned[:, :-width] != counted).nnz == 0
    assert (others[:, -width:] != everything[~training][:, -width:]).nnz == 0


def _refusal(embedding: str, folder: Path) -> str:
    from ruamel.yaml import YAML

    path = folder / "questions.yaml"
    with path.open("w") as file:
        written = {key: value for key, value in _file(embedding).items() if key != "name"}
        YAML(typ="safe").dump(written, file)
    with pytest.raises(ProblemError) as refused:
        load_problem(path)
    (line,) = str(refused.value).splitlines()
    assert "candidates.embedded.features.embedding" in line
    return line


@pytest.mark.parametrize(
    ("embedding", "extra"), [("static", "embeddings"), ("sentence", "sentences")]
)
def test_a_file_that_asks_for_what_is_not_installed_is_refused_in_a_sentence(
    embedding: str, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = "perennial.config.sections.candidates.missing_for"
    monkeypatch.setattr(missing, lambda _: ["tokenizers", "weights"])

    line = _refusal(embedding, tmp_path)

    assert "tokenizers and weights" in line
    assert f"pip install 'perennial[{extra}]'; or write none" in line


def test_a_folder_that_has_no_model_is_refused_in_a_sentence(tmp_path: Path) -> None:
    line = _refusal("statik", tmp_path)

    assert "none, static, sentence, or a folder with a model of sentences" in line
    assert "statik has no model.onnx and no tokenizer.json" in line


def test_a_file_without_embeddings_has_the_digest_that_it_always_had(problem: Problem) -> None:
    features = problem.candidates["embedded"].features

    assert "embedding" not in features.model_copy(update={"embedding": "none"}).model_dump()
    assert features.model_dump()["embedding"] == features.embedding != "none"


def test_a_model_of_the_time_of_one_kind_of_vectors_answers_as_it_did() -> None:
    counter = EmbeddedCounter(build_counter(_plain()))
    texts = build_normalizer(_static(), _static().candidates["embedded"]).transform(["my card"])
    expected = counter.fit_transform(texts)
    earlier = {key: value for key, value in vars(counter).items() if key != "embedding"}

    again = EmbeddedCounter.__new__(EmbeddedCounter)
    again.__setstate__(earlier)

    assert (again.transform(texts) != expected).nnz == 0


def _static() -> Problem:
    return Problem.model_validate(FILE)


def _plain() -> Features:
    features = _static().candidates["embedded"].features
    assert isinstance(features, Features)
    return features.model_copy(update={"embedding": "none"})


@pytest.mark.parametrize(("embedding", "is_sound"), [("static", False), ("sentence", True)])
def test_another_processor_may_round_the_vectors_of_sentences_otherwise(
    embedding: str, is_sound: bool
) -> None:
    model = _fitted(Problem.model_validate(_file(embedding)))
    inputs = ("where is my card", "my pin")
    found = model.predict_proba(list(inputs))
    off = np.add(found, [0.005, -0.005, 0.0])
    golden = Golden(inputs=inputs, classes=LABELS, probabilities=tuple(map(tuple, off.tolist())))

    if is_sound:
        check_golden(model, golden, "The model")
    else:
        with pytest.raises(OutsideError, match="fails its golden examples"):
            check_golden(model, golden, "The model")
