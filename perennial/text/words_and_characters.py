"""Features of tokenised documents: words and character n-grams side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from perennial.text.characters import CharacterCounter
from perennial.text.counter import TokenCounter
from perennial.text.ngrams import NgramCounter
from perennial.text.tokens import Tokens


class WordAndCharacterCounter(TokenCounter):
    """Count what `NgramCounter` and `CharacterCounter` do, words first, in one matrix.

    Parameters
    ----------
    bigrams : bool
        Count pairs of neighbouring tokens too.
    shortest, longest : int
        Lengths of the character n-grams.
    min_documents : int
        Leave out features that occur in fewer training documents.
    max_features : int or None
        Keep only the features with the highest total count, of whichever kind.
    binary : bool
        Count a feature of a document once, however often it occurs.

    Attributes
    ----------
    words_ : NgramCounter
        The counter of words.
    characters_ : CharacterCounter
        The counter of character n-grams.
    """

    def __init__(
        self,
        *,
        bigrams: bool = False,
        shortest: int = 1,
        longest: int = 4,
        min_documents: int = 1,
        max_features: int | None = None,
        binary: bool = False,
    ) -> None:
        self.bigrams = bigrams
        self.shortest = shortest
        self.longest = longest
        self.min_documents = min_documents
        self.max_features = max_features
        self.binary = binary

    def fit_transform(self, X: Tokens, y: object = None) -> sparse.csr_array:
        """Choose the features and return the counts of the same documents.

        Returns
        -------
        csr_array of float64, shape (n_documents, n_features)

        Raises
        ------
        ValueError
            If no word or no n-gram is left.
        """
        least, binary = self.min_documents, self.binary
        self.words_ = NgramCounter(bigrams=self.bigrams, min_documents=least, binary=binary)
        self.characters_ = CharacterCounter(
            shortest=self.shortest, longest=self.longest, min_documents=least, binary=binary
        )
        words, characters = self.words_.fit_transform(X), self.characters_.fit_transform(X)
        counts = sparse.hstack([words, characters], format="csr")
        if self.max_features is not None and counts.shape[1] > self.max_features:
            best = np.sort(np.argsort(-counts.sum(axis=0), kind="stable")[: self.max_features])
            self.words_.keep(best[best < words.shape[1]])
            self.characters_.keep(best[best >= words.shape[1]] - words.shape[1])
            counts = counts[:, best]
        return counts

    def transform(self, X: Tokens) -> sparse.csr_array:
        """Return the counts of the chosen features, shape (n_documents, n_features)."""
        check_is_fitted(self, "characters_")
        parts = [self.words_.transform(X), self.characters_.transform(X)]
        return sparse.hstack(parts, format="csr")

    def recognised(self, tokens: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how many n-grams of each token are features, and how many it has."""
        return self.characters_.recognised(tokens)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return words and pairs of words, then n-grams, in which a space is the edge of a word."""
        check_is_fitted(self, "characters_")
        parts = (self.words_, self.characters_)
        return np.concatenate([part.get_feature_names_out() for part in parts])
