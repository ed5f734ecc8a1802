"""Lists of words: a column of 0 and 1 for each word that training has seen."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from perennial.encoders.categories import UNKNOWN, CategoryEncoder

Words = Collection[str]


class WordsEncoder(BaseEstimator):  # type: ignore[misc]
    """Encode lists of words as a sparse matrix of 0 and 1.

    Parameters
    ----------
    min_documents : int
        Words of fewer training documents are rare, and have one column in common.
    max_categories : int or None
        Only so many words, the most frequent ones, are not rare.

    Attributes
    ----------
    words_ : CategoryEncoder
        The words by number.
    """

    def __init__(self, *, min_documents: int = 1, max_categories: int | None = None) -> None:
        self.min_documents = min_documents
        self.max_categories = max_categories

    def fit_transform(self, lists: Collection[Words]) -> sparse.csr_array:
        """Learn the words; return the matrix of the same lists."""
        encoder = CategoryEncoder(
            min_documents=self.min_documents, max_categories=self.max_categories
        )
        self.words_ = encoder.fit(list(chain.from_iterable(map(set, lists))))
        return self.transform(lists)

    def transform(self, lists: Collection[Words]) -> sparse.csr_array:
        """Return the matrix of lists; a word that is not known has no column, or that of rare."""
        columns = self.words_.numbers(list(chain.from_iterable(lists)))
        rows = np.repeat(np.arange(len(lists)), [len(words) for words in lists])
        known = columns != UNKNOWN
        shape = (len(lists), self.words_.width)
        ones = np.ones(int(known.sum()))
        matrix = sparse.csr_array((ones, (rows[known], columns[known])), shape=shape)
        matrix.sum_duplicates()
        matrix.data.fill(1.0)
        return matrix

    def names(self) -> list[str]:
        """Return the name of each column."""
        return self.words_.names()
