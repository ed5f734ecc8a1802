"""Vectors stand beside what is counted, and are those of the weights that a model was made with."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.embeddings.counter import EmbeddedCounter
from perennial.embeddings.static import WIDTH, static_vectors
from perennial.errors import OutsideError
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import TextNormalizer
from perennial.text.tokens import Tokens

TEXTS = ["where is my card", "where is my money", "i like old films", "", "\ud800 ???"]


def _tokens(texts: list[str]) -> Tokens:
    tokens: Tokens = TextNormalizer(stop_words="keep", lemmas="none").transform(texts)
    return tokens


@pytest.fixture
def counter() -> EmbeddedCounter:
    found = EmbeddedCounter(NgramCounter(bigrams=True))
    found.fit(_tokens(TEXTS))
    return found


def test_what_is_counted_stays_as_it_was_and_vectors_follow(counter: EmbeddedCounter) -> None:
    plain = NgramCounter(bigrams=True).fit_transform(_tokens(TEXTS))

    found = counter.transform(_tokens(TEXTS))

    assert found.shape == (len(TEXTS), plain.shape[1] + WIDTH)
    assert (found[:, :-WIDTH] != plain).nnz == 0
    assert len(counter.get_feature_names_out()) == found.shape[1]
    lengths = np.linalg.norm(found[:, -WIDTH:].toarray(), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 0, 0], atol=1e-6)


def test_texts_of_one_meaning_are_nearer_than_others(counter: EmbeddedCounter) -> None:
    asked = ["my bank card is lost", "i cannot find my credit card", "a wonderful old film"]
    vectors = counter.transform(_tokens(asked))[:, -WIDTH:].toarray()

    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]

    assert near > far + 0.2


def test_a_text_has_one_vector_whatever_stands_beside_it(counter: EmbeddedCounter) -> None:
    together = counter.transform(_tokens(TEXTS))[:, -WIDTH:].toarray()
    alone = np.vstack([counter.transform(_tokens([text]))[:, -WIDTH:].toarray() for text in TEXTS])

    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12)


def test_more_words_than_are_kept_have_the_same_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"word{number}" for number in range(50)]
    expected, parts = static_vectors().of_words(words)
    monkeypatch.setattr("perennial.embeddings.static._MOST_WORDS", 7)

    for start in range(0, 50, 10):
        found, some = static_vectors().of_words(words[start : start + 10])
        np.testing.assert_array_equal(found, expected[start : start + 10])
        np.testing.assert_array_equal(some, parts[start : start + 10])


def test_a_model_of_other_weights_is_refused_with_what_to_do(counter: EmbeddedCounter) -> None:
    counter.digest_ = "another"

    with pytest.raises(OutsideError, match=r"other weights of wordllama .* or retrain"):
        counter.transform(_tokens(TEXTS))


def test_without_the_extra_a_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial.embeddings.static.missing_for", lambda _: ["wordllama"])
    static_vectors.cache_clear()

    with pytest.raises(OutsideError, match=r"needs wordllama, .* 'perennial\[embeddings\]'"):
        static_vectors()

    static_vectors.cache_clear()
