"""A retraining embeds what is new, and an erasure forgets every vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flows.erase import erase
from flows.experiment import experiment
from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.embeddings.encoder import width_of
from perennial.embeddings.sentence import SentenceVectors
from perennial.settings import Settings

pytestmark = pytest.mark.usefixtures("prefect_api")

DOCUMENTS, NEW, WIDTH = 120, 10, 384
CANDIDATE = {
    "preparation": "plain",
    "features": {"weighting": "tfidf", "embedding": "sentence"},
    "estimator": "logistic_regression",
}


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that a model has read; it reads them quickly, and understands little."""
    read: list[str] = []
    # It tries a word of its own when it is loaded.
    assert width_of("sentence") == WIDTH

    def noted(self: SentenceVectors, text: str) -> np.ndarray:
        read.append(text)
        drawn = np.random.default_rng(list(text.encode())).normal(size=WIDTH)
        return (drawn / np.linalg.norm(drawn)).astype(np.float32)

    monkeypatch.setattr(SentenceVectors, "_embed", noted)
    return read


@pytest.fixture
def embedding(write_problem: Callable[..., Problem], embedded: list[str]) -> Problem:
    """The small problem with vectors of sentences."""
    assert not embedded
    return write_problem(candidates={"embedded": CANDIDATE})


def test_a_retraining_embeds_only_what_is_new(
    embedding: Problem,
    collection: Any,
    documents: Any,
    embedded: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert embedding.candidates
    collection.insert_many(documents(DOCUMENTS))
    retrain("reviews")
    first = len(set(embedded))
    assert first > DOCUMENTS - NEW
    assert f"Embedded {first} texts; the vectors of 0 were known." in caplog.text
    caplog.clear()
    embedded.clear()

    collection.insert_many(documents(NEW, first=DOCUMENTS))
    retrain("reviews")

    new = len(set(embedded))
    assert 0 < new <= NEW
    assert f"Embedded {new} texts; the vectors of {first} were known." in caplog.text


def test_an_experiment_knows_what_a_retraining_has_embedded(
    embedding: Problem,
    collection: Any,
    documents: Any,
    embedded: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert embedding.candidates
    collection.insert_many(documents(DOCUMENTS))
    retrain("reviews")
    caplog.clear()

    experiment("reviews")

    assert f"Embedded 0 texts; the vectors of {len(set(embedded))} were known." in caplog.text


def test_the_latency_is_that_of_reading_each_text(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    embedded: list[str],
) -> None:
    write_problem(candidates={"embedded": CANDIDATE}, gates={"latency": {"milliseconds": 10_000}})
    collection.insert_many(documents(DOCUMENTS))

    retrain("reviews")

    assert max(embedded.count(text) for text in set(embedded)) > 3


def test_an_erasure_forgets_every_vector(
    embedding: Problem,
    collection: Any,
    documents: Any,
    machine: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert embedding.candidates
    collection.insert_many(documents(DOCUMENTS))
    retrain("reviews")
    (file,) = machine.data_dir.glob("cache/*.sqlite")
    size = file.stat().st_size

    erase("reviews", ids=["review-3"], why="it was asked for", yes=True)

    assert file.stat().st_size < size / 5
    caplog.clear()
    retrain("reviews", force=True)
    assert "the vectors of 0 were known" in caplog.text
