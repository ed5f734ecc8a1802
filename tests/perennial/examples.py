"""Documents and predictions made for the tests of `perennial`, by hand and by hypothesis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from perennial.metrics import Predictions
from perennial.text.tokens import Tokens
from tests.searches import tried

many_examples = tried(3)
some_examples = tried(1.5)

Documents = Sequence[Sequence[str]]


def tokens_of(documents: Documents) -> Tokens:
    """Return documents of tokens as `Tokens`, the vocabulary in the order of appearance."""
    vocabulary: dict[str, int] = {}
    ids = [vocabulary.setdefault(word, len(vocabulary)) for words in documents for word in words]
    offsets = np.cumsum([0, *map(len, documents)])
    return Tokens(np.array(ids, np.int32), offsets.astype(np.int64), tuple(vocabulary))


# Few distinct words, so that they meet again; "b c" sorts before "bb", "é" after "z".
documents = st.lists(
    st.lists(st.sampled_from(["a", "b", "bb", "c", "not", "z", "é"]), max_size=8), max_size=8
)


def probabilities_of(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows that add up to one; without any odds every class is as probable."""
    odds = np.where(odds.sum(axis=1, keepdims=True) > 0, odds, 1.0)
    return odds / odds.sum(axis=1, keepdims=True)


@st.composite
def predictions(draw: st.DrawFn, min_classes: int = 2, max_classes: int = 4) -> Predictions:
    """Draw predictions for a few documents, every class among them; many scores are ties."""
    k = draw(st.integers(min_classes, max_classes))
    code = st.integers(0, k - 1)
    truth = draw(st.permutations([*range(k), *draw(st.lists(code, max_size=20))]))
    n = len(truth)
    predicted = draw(st.lists(code, min_size=n, max_size=n))
    row = st.lists(st.sampled_from([0, 1, 1, 2, 5]), min_size=k, max_size=k)
    odds = draw(st.lists(row, min_size=n, max_size=n))
    return Predictions(
        classes=("negative", "neutral", "mixed", "positive")[-k:],
        truth=np.array(truth, np.int64),
        predicted=np.array(predicted, np.int64),
        probabilities=probabilities_of(np.array(odds, np.float64)),
    )


def right_at(
    rate: float,
    *,
    documents: int,
    seed: int,
    classes: tuple[str, ...] = ("negative", "positive"),
) -> Predictions:
    """Return predictions of a model that is right about this share of all documents.

    The truth depends on the number of documents and classes alone: any two models of one size
    are about the same documents.
    """
    rng = np.random.default_rng(seed)
    truth = np.arange(documents) % len(classes)
    right = rng.random(documents) < rate
    predicted = np.where(right, truth, (truth + 1) % len(classes))
    odds = rng.random((documents, len(classes)))
    odds[np.arange(documents), predicted] += 1
    return Predictions(classes, truth, predicted, probabilities_of(odds))


def split_labels(documents: list[tuple[str, int]]) -> tuple[list[str], NDArray[np.str_]]:
    words, labels = zip(*documents, strict=True)
    return list(words), np.array(["negative", "positive"])[list(labels)]
