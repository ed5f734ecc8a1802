"""Tokenised documents as arrays: what the normaliser hands to the features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Tokens:
    """Documents as sequences of token ids into one shared vocabulary.

    Attributes
    ----------
    ids : ndarray of int32, shape (n_tokens,)
        The tokens of all documents, one document after the other.
    offsets : ndarray of int64, shape (n_documents + 1,)
        Document ``i`` is ``ids[offsets[i]:offsets[i + 1]]``.
    vocabulary : sequence of str
        The token of each id; every token stands here once.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    vocabulary: Sequence[str]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the tokens of each document as strings."""
        words = self.vocabulary
        for start, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield [words[i] for i in self.ids[start:end]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each document, shape (n_documents,)."""
        return np.diff(self.offsets)

    def take(self, rows: NDArray[np.int64]) -> Tokens:
        """Return the documents at ``rows``, in that order, over the same vocabulary."""
        lengths = self.lengths[rows]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        return Tokens(self.ids[ranges(self.offsets[rows], lengths)], offsets, self.vocabulary)


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenate ``arange(start, start + length)`` over all pairs without a Python loop."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def narrow(bounds: NDArray[np.int64]) -> NDArray[np.int32] | NDArray[np.int64]:
    """Return the bounds of rows in 32 bits where they fit: some estimators take no others."""
    return bounds.astype(np.int32) if bounds[-1] <= np.iinfo(np.int32).max else bounds


def pack(words: NDArray[np.object_]) -> NDArray[np.uint8]:
    """Return words as one array of bytes, as a model file keeps them."""
    # No token contains a line break.
    return np.frombuffer("\n".join(words).encode(), np.uint8)


def unpack(packed: NDArray[np.uint8]) -> NDArray[np.object_]:
    """Return the words that `pack` was given."""
    return np.asarray(packed.tobytes().decode().split("\n"), dtype=object)
