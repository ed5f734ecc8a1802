"""Texts of records: weighted counts of their words and of the characters in them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from perennial.encoders.blocks import beside
from perennial.text.ngrams import NgramCounter
from perennial.text.normal_form import normal_value
from perennial.text.normalizer import TextNormalizer

Analyzer = Literal["words", "characters", "both"]
# Features of characters are hashed into so many columns: nothing of them has to be stored.
_CHARACTER_COLUMNS = 1 << 17
_CHARACTERS = (2, 5)


class TextEncoder(BaseEstimator):  # type: ignore[misc]
    """Encode the texts of one field as a sparse matrix of tf-idf weights.

    Parameters
    ----------
    analyzer : {"words", "characters", "both"}
        Words with pairs of neighbours, n-grams of two to five characters within words, or both.
    min_documents : int
        Words and pairs that occur in fewer training documents are left out.
    max_features : int
        Only so many words and pairs, the most frequent ones, are kept.

    Attributes
    ----------
    counter_ : NgramCounter or None
        The words, None if no word of training is frequent enough.
    word_weights_, character_weights_ : TfidfTransformer or None
        The weights.
    """

    def __init__(
        self,
        *,
        analyzer: Analyzer = "words",
        min_documents: int = 2,
        max_features: int = 100_000,
    ) -> None:
        self.analyzer = analyzer
        self.min_documents = min_documents
        self.max_features = max_features

    def fit_transform(self, texts: Collection[str]) -> sparse.csr_array:
        """Learn words and weights; return the matrix of the same texts."""
        self.counter_, self.word_weights_, self.character_weights_ = None, None, None
        parts = []
        if self.analyzer != "characters":
            counter = NgramCounter(
                bigrams=True, min_documents=self.min_documents, max_features=self.max_features
            )
            try:
                counts = counter.fit_transform(_normalizer().transform(texts))
            except ValueError:
                # No word is frequent enough.
                counts = None
            if counts is not None:
                self.counter_ = counter
                self.word_weights_ = TfidfTransformer(sublinear_tf=True)
                parts.append(self.word_weights_.fit_transform(counts))
        if self.analyzer != "words":
            self.character_weights_ = TfidfTransformer(sublinear_tf=True)
            parts.append(self.character_weights_.fit_transform(_characters(texts)))
        return _beside(parts, len(texts))

    def transform(self, texts: Collection[str]) -> sparse.csr_array:
        """Return the matrix of texts."""
        parts = []
        if self.counter_ is not None and self.word_weights_ is not None:
            counts = self.counter_.transform(_normalizer().transform(texts))
            parts.append(self.word_weights_.transform(counts))
        if self.character_weights_ is not None:
            parts.append(self.character_weights_.transform(_characters(texts)))
        return _beside(parts, len(texts))

    def names(self) -> list[str]:
        """Return the name of each column."""
        words = [] if self.counter_ is None else self.counter_.get_feature_names_out().tolist()
        if self.character_weights_ is None:
            return words
        return [*words, *(f"characters {place}" for place in range(_CHARACTER_COLUMNS))]


def _normalizer() -> TextNormalizer:
    # Numbers, negations and endings may say something; what does not has little weight.
    return TextNormalizer(numbers=False, stop_words="keep", lemmas="none", emphasis=True)


def _characters(texts: Collection[str]) -> sparse.csr_array:
    hashing = HashingVectorizer(
        analyzer="char_wb",
        ngram_range=_CHARACTERS,
        n_features=_CHARACTER_COLUMNS,
        alternate_sign=False,
        norm=None,
        preprocessor=_plain,
    )
    return sparse.csr_array(hashing.transform(texts))


def _plain(text: str) -> str:
    return normal_value(text).lower()


def _beside(parts: Sequence[sparse.csr_array], rows: int) -> sparse.csr_array:
    return beside(parts) if parts else sparse.csr_array((rows, 0))
