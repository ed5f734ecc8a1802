"""Counting of n-grams, a block of documents at a time: temporary memory is that of a block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from perennial.text.tokens import Tokens, narrow

# Documents and tokens of a block: temporary memory is some ten times its tokens.
_BLOCK_BITS, _BLOCK_TOKENS = 14, 1 << 19
# Keys that are merged at once.
_MERGED = 1 << 20


def pair_keys(
    first: NDArray[np.int64], second: NDArray[np.int64], n_words: int
) -> NDArray[np.int64]:
    """Return the keys of pairs of words, which come after those of all single words."""
    keys: NDArray[np.int64] = n_words + first * n_words + second
    return keys


def parts_of(keys: NDArray[np.int64], n_words: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and second word of each key; the second of a unigram is -1."""
    first, second = np.divmod(keys - n_words, n_words)
    unigram = keys < n_words
    return np.where(unigram, keys, first), np.where(unigram, -1, second)


@dataclass(frozen=True, eq=False)
class Counted:
    """The features of a block of documents, by columns.

    Attributes
    ----------
    keys : ndarray of int64, shape (n_features,)
        Their keys, sorted.
    documents : ndarray of uint16, shape (n_features,)
        In how many documents each occurs.
    rows : ndarray of uint16, shape (n_entries,)
        These documents, one feature after the other.
    amounts : ndarray of unsigned int, shape (n_entries,)
        How often it occurs there, in as few bits as that takes.
    n_documents : int
        The number of documents of the block.
    """

    keys: NDArray[np.int64]
    documents: NDArray[np.uint16]
    rows: NDArray[np.uint16]
    amounts: NDArray[np.unsignedinteger[Any]]
    n_documents: int

    def totals(self) -> NDArray[np.int64]:
        """Return how often each feature occurs, shape (n_features,)."""
        starts = np.cumsum(self.documents, dtype=np.int64) - self.documents
        return np.add.reduceat(self.amounts, starts, dtype=np.int64) if len(starts) else starts


class Blocks:
    """Documents that are counted a block at a time, so that temporary memory is that of a block.

    One sort of the occurrences of a block, each a key and its document in one number, puts equal
    features together and their documents in order. A block has as few documents as it takes for
    that number to have 63 bits, whatever the number of words.

    Parameters
    ----------
    tokens : Tokens
        The documents.
    rank : ndarray of int32, shape (n_vocabulary,)
        The number of each token; negative if it is unknown.
    n_words : int
        All numbers are smaller.
    bigrams, binary : bool
        What is counted, and how.
    """

    def __init__(
        self,
        tokens: Tokens,
        rank: NDArray[np.int32],
        n_words: int,
        *,
        bigrams: bool,
        binary: bool,
    ) -> None:
        self._tokens, self._rank, self._n_words = tokens, rank, n_words
        self._bigrams, self._binary = bigrams, binary
        largest = n_words * (n_words + 1) if bigrams else n_words
        self._bits = min(_BLOCK_BITS, 63 - largest.bit_length())
        self._bounds = _bounds(tokens.offsets, 1 << self._bits)

    def __iter__(self) -> Iterator[Counted]:
        for start, end in pairwise(self._bounds):
            yield self._count(start, end)

    def _count(self, start: int, end: int) -> Counted:
        offsets = self._tokens.offsets[start : end + 1]
        ids = self._rank[self._tokens.ids[offsets[0] : offsets[-1]]]
        places = _places(ids, offsets - offsets[0], self._n_words, self._bigrams, self._bits)
        places.sort()
        places = places[np.searchsorted(places, 0) :]
        entries = _starts(places)
        amounts = np.diff(entries, append=len(places))
        if self._binary:
            amounts.fill(1)
        amounts = amounts.astype(np.min_scalar_type(amounts.max(initial=0)))
        places = places[entries]
        keys = places >> self._bits
        columns = _starts(keys)
        documents = np.diff(columns, append=len(keys)).astype(np.uint16)
        places &= (1 << self._bits) - 1
        return Counted(keys[columns], documents, places.astype(np.uint16), amounts, end - start)


def _bounds(offsets: NDArray[np.int64], most: int) -> list[int]:
    """Return where blocks begin and end: of at most so many documents, and few tokens."""
    bounds, n_documents = [0], len(offsets) - 1
    while bounds[-1] < n_documents:
        start = bounds[-1]
        full = int(np.searchsorted(offsets, offsets[start] + _BLOCK_TOKENS, "right")) - 1
        bounds.append(min(max(full, start + 1), start + most, n_documents))
    return bounds


def choose(
    blocks: Sequence[Counted], min_documents: int, *, with_totals: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the keys of the features in enough documents, sorted, and how often they occur.

    Without totals that is in how many documents.
    """
    keys = [block.keys for block in blocks]
    documents = [block.documents for block in blocks]
    totals = [block.totals() for block in blocks] if with_totals else documents
    chosen, amounts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for first, last in _ranges(keys):
        bounds = [np.searchsorted(each, (first, last)).tolist() for each in keys]
        found = _joined(keys, bounds)
        order = np.argsort(found)
        found = found[order]
        starts = _starts(found)
        often = np.add.reduceat(_joined(documents, bounds)[order], starts, dtype=np.int64)
        occurring = np.add.reduceat(_joined(totals, bounds)[order], starts, dtype=np.int64)
        enough = often >= min_documents
        chosen.append(found[starts[enough]])
        amounts.append(occurring[enough])
    return np.concatenate(chosen), np.concatenate(amounts)


def _joined(arrays: Sequence[NDArray[Any]], bounds: Sequence[tuple[int, int]]) -> NDArray[Any]:
    """Return a part of each array, one after the other."""
    return np.concatenate([each[a:b] for each, (a, b) in zip(arrays, bounds, strict=True)])


def _ranges(keys: Sequence[NDArray[np.int64]]) -> Iterator[tuple[int, int]]:
    """Yield ranges of keys, from the first to the one after the last, with few keys in each."""
    count = sum(map(len, keys))
    if not count:
        return
    some = np.sort(np.concatenate([each[:: len(keys)] for each in keys]))
    edges = some[:: max(1, _MERGED * len(some) // count)]
    first = min(int(each[0]) for each in keys if len(each))
    last = max(int(each[-1]) for each in keys if len(each)) + 1
    inner = np.unique(edges[(edges > first) & (edges < last)]).tolist()
    yield from pairwise([first, *inner, last])


def drained(blocks: list[Counted]) -> Iterator[Counted]:
    """Yield blocks, of which none is held longer than it is needed."""
    blocks.reverse()
    while blocks:
        yield blocks.pop()


def gather(
    blocks: Iterable[Counted],
    keys: NDArray[np.int64],
    kind: type | None = np.float64,
    size: int | None = None,
) -> sparse.csr_array:
    """Return the counts of features, shape (n_documents, n_features); their keys are sorted.

    Without a `kind` they are in the fewest bytes that hold those of every block. Where it is known
    how many entries there are, `size`, their columns are in memory once.
    """
    indices, amounts, lengths = _Joined(size), [np.empty(0, np.uint8)], []
    for block in blocks:
        # Both are sorted, so that neighbours are found in the same part of memory.
        places = np.searchsorted(keys, block.keys)
        places[places == len(keys)] = 0
        found = keys[places] == block.keys if len(keys) else np.zeros(len(places), np.bool_)
        inside = np.repeat(found, block.documents)
        rows = block.rows[inside]
        columns = np.repeat(places[found].astype(np.int32), block.documents[found])
        order = np.argsort(rows, kind="stable")
        indices.append(columns[order])
        amounts.append(block.amounts[inside][order])
        lengths.append(np.bincount(rows, minlength=block.n_documents))
    bounds = np.concatenate(([0], np.cumsum(np.concatenate([[], *lengths]), dtype=np.int64)))
    counts = np.concatenate(amounts, dtype=kind)
    parts = (counts, indices.whole(), narrow(bounds))
    return sparse.csr_array(parts, shape=(len(bounds) - 1, len(keys)))


class _Joined:
    """Arrays that become one: as they come where its size is known, else at the end."""

    def __init__(self, size: int | None) -> None:
        self._whole = None if size is None else np.empty(size, np.int32)
        self._parts, self._end = [np.empty(0, np.int32)], 0

    def append(self, part: NDArray[np.int32]) -> None:
        """Add an array."""
        if self._whole is None:
            self._parts.append(part)
        else:
            self._whole[self._end : self._end + len(part)] = part
            self._end += len(part)

    def whole(self) -> NDArray[np.int32]:
        """Return all of them; it holds none any more."""
        found, self._whole = self._whole, None
        if found is None:
            found = np.concatenate(self._parts)
            self._parts.clear()
        return found


def _places(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], n_words: int, bigrams: bool, bits: int
) -> NDArray[np.int64]:
    """Return each occurrence as ``key << bits | document``, negative where there is no feature."""
    n_documents, n = len(offsets) - 1, len(ids)
    rows = np.repeat(np.arange(n_documents, dtype=np.int32), np.diff(offsets))
    # Worked on in place: to get memory from the system takes longer than to use it.
    places = np.empty(2 * n - 1 if bigrams and n else n, np.int64)
    unigrams, pairs = places[:n], places[n:]
    unigrams[:] = ids
    if len(pairs):
        np.multiply(unigrams[:-1], n_words, out=pairs)
        pairs += ids[1:]
        pairs += n_words
        pairs <<= bits
        pairs |= rows[1:]
        between = offsets[1:-1] - 1
        pairs[between[(between >= 0) & (between < n - 1)]] = -1
    unigrams <<= bits
    unigrams |= rows
    unknown = np.flatnonzero(ids < 0)
    unigrams[unknown] = -1
    if len(pairs):
        pairs[unknown[unknown < n - 1]] = -1
        pairs[unknown[unknown > 0] - 1] = -1
    return places


def _starts(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where runs of equal values begin."""
    starts: NDArray[np.int64] = np.flatnonzero(
        np.concatenate(([True], values[1:] != values[:-1]))[: len(values)]
    )
    return starts
