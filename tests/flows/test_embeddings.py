"""A retraining embeds what is new, and an erasure forgets every vector."""

from __future__ import annotations

import sqlite3
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


def test_a_run_embeds_only_what_is_new(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    embedded: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_problem(candidates={"embedded": CANDIDATE})
    collection.insert_many(documents(DOCUMENTS))
    retrain("reviews")
    first = len(set(embedded))
    assert first > DOCUMENTS - NEW
    assert f"Embedded {first} texts; the vectors of 0 were known." in caplog.text

    embedded.clear()
    collection.insert_many(documents(NEW, first=DOCUMENTS))
    retrain("reviews")
    new = len(set(embedded))
    assert 0 < new <= NEW
    assert f"Embedded {new} texts; the vectors of {first} were known." in caplog.text

    embedded.clear()
    experiment("reviews")
    assert not embedded
    assert f"Embedded 0 texts; the vectors of {first + new} were known." in caplog.text


def test_the_latency_is_that_of_reading_a_text_and_an_erasure_forgets_every_vector(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    embedded: list[str],
    machine: Settings,
) -> None:
    gates = {"latency": {"milliseconds": 10_000}}
    write_problem(candidates={"embedded": CANDIDATE}, gates=gates)
    collection.insert_many(documents(DOCUMENTS))

    retrain("reviews")

    assert max(embedded.count(text) for text in embedded) > 3
    (file,) = machine.data_dir.glob("cache/*.sqlite")
    with sqlite3.connect(file) as kept:
        assert kept.execute("SELECT count(*) FROM vectors").fetchone()[0] == len(set(embedded))

    erase("reviews", ids=["review-3"], why="it was asked for", yes=True)

    with sqlite3.connect(file) as kept:
        assert kept.execute("SELECT count(*) FROM vectors").fetchone()[0] == 0
