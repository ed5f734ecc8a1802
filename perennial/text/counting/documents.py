"""Documents whose n-grams are counted, before any of them is chosen as a feature.

What is counted of a document does not depend on other documents, so that it can be kept. Counts of
several times, each over its own words, become the matrix that counting all documents at once gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from perennial.text.counting.blocks import Blocks, choose, drained, gather, pair_keys, parts_of
from perennial.text.tokens import Tokens, narrow, ranges

# Entries that are looked at at a time.
_ENTRIES = 1 << 20
_NONE = -1
_Sorted = TypeVar("_Sorted", bound=NDArray[Any])


@dataclass(frozen=True, eq=False)
class CountedDocuments:
    """Documents, with how often each has each of their n-grams.

    Attributes
    ----------
    words : ndarray of str, shape (n_words,)
        Every word, sorted.
    first, second : ndarray of int32, shape (n_ngrams,)
        The words of each n-gram; of a single word the second is -1. In the order of their keys.
    documents : ndarray of int32, shape (n_ngrams,)
        In how many documents each occurs.
    bounds : ndarray of int64, shape (n_documents + 1,)
        The entries of document ``i`` are those from ``bounds[i]`` to ``bounds[i + 1]``.
    columns : ndarray of int32, shape (n_entries,)
        The n-gram of each entry, ascending within a document.
    amounts : ndarray of unsigned int, shape (n_entries,)
        How often the document has it.
    """

    words: NDArray[np.object_]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    documents: NDArray[np.int32]
    bounds: NDArray[np.int64]
    columns: NDArray[np.int32]
    amounts: NDArray[np.unsignedinteger[Any]]

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def documents_among(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return in how many of some documents each n-gram occurs, shape (n_ngrams,)."""
        if len(rows) == len(self):
            return self.documents.astype(np.int64)
        others = np.ones(len(self), np.bool_)
        others[rows] = False
        return self.documents - self._occurring(np.flatnonzero(others))

    def totals_among(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how often each n-gram occurs in some documents, shape (n_ngrams,)."""
        entries = self._entries(rows)
        columns, amounts = self.columns[entries], self.amounts[entries]
        found = np.bincount(columns, amounts, minlength=len(self.first))
        return found.astype(np.int64)

    def _occurring(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(self.columns[self._entries(rows)], minlength=len(self.first))

    def _entries(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return ranges(self.bounds[rows], self.bounds[rows + 1] - self.bounds[rows])


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the documents of a matrix.

    Attributes
    ----------
    counted : CountedDocuments
        Where they are counted, among others perhaps.
    rows : ndarray of int64, shape (n_rows,)
        Which of these documents they are, each once.
    places : ndarray of int64, shape (n_rows,)
        Their rows in the matrix.
    """

    counted: CountedDocuments
    rows: NDArray[np.int64]
    places: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Chosen:
    """The n-grams that became features, and the counts of them.

    Attributes
    ----------
    words : ndarray of str, shape (n_words,)
        All words, sorted.
    keys : ndarray of int64, shape (n_features,)
        See `perennial.text.ngrams.NgramCounter`.
    documents : ndarray of int64, shape (n_features,)
        In how many documents each feature occurs.
    counts : csr_array of unsigned int, shape (n_documents, n_features)
        How often.
    """

    words: NDArray[np.object_]
    keys: NDArray[np.int64]
    documents: NDArray[np.int64]
    counts: sparse.csr_array

    def as_counted(self) -> CountedDocuments:
        """Return the same documents with these n-grams alone."""
        first, second = parts_of(self.keys, len(self.words))
        return CountedDocuments(
            self.words,
            first.astype(np.int32),
            second.astype(np.int32),
            self.documents.astype(np.int32),
            self.counts.indptr.astype(np.int64),
            self.counts.indices,
            self.counts.data,
        )


def count_documents(tokens: Tokens, *, bigrams: bool) -> CountedDocuments:
    """Count the single words of documents, and the pairs of words if they are asked for."""
    vocabulary = np.asarray(tokens.vocabulary, dtype=object)
    order = np.argsort(vocabulary)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    blocks = list(Blocks(tokens, rank, len(order), bigrams=bigrams, binary=False))
    keys, documents = choose(blocks, 1, with_totals=False)
    counts = gather(drained(blocks), keys, None, int(documents.sum()))
    return Chosen(vocabulary[order], keys, documents, counts).as_counted()


def choose_features(
    parts: Sequence[Part], *, min_documents: int, max_features: int | None, binary: bool
) -> Chosen:
    """Return the n-grams that enough documents have, and their counts.

    Parameters
    ----------
    parts : sequence of Part
        The documents; together they have every row of the matrix once.
    min_documents, max_features, binary
        See `perennial.text.ngrams.NgramCounter`.
    """
    words, of_words = _unions([part.counted.words for part in parts])
    keys, of_keys = _unions(
        [_keys(part.counted, at, len(words)) for part, at in zip(parts, of_words, strict=True)]
    )
    documents = np.zeros(len(keys), np.int64)
    for part, at in zip(parts, of_keys, strict=True):
        documents[at] += part.counted.documents_among(part.rows)
    chosen = np.flatnonzero(documents >= min_documents)
    if max_features is not None and len(chosen) > max_features:
        totals = documents if binary else _totals(parts, of_keys, len(keys))
        best = np.argsort(-totals[chosen], kind="stable")[:max_features]
        chosen = chosen[np.sort(best)]
    numbers = np.full(len(keys), _NONE, np.int32)
    numbers[chosen] = np.arange(len(chosen), dtype=np.int32)
    rows = [
        _of_features(part.counted, numbers[at], binary=binary)
        for part, at in zip(parts, of_keys, strict=True)
    ]
    counts = _in_places(parts, rows, len(chosen))
    return Chosen(words, keys[chosen], documents[chosen], counts)


def _totals(
    parts: Sequence[Part], of_keys: Sequence[NDArray[np.intp]], n_keys: int
) -> NDArray[np.int64]:
    found = np.zeros(n_keys, np.int64)
    for part, at in zip(parts, of_keys, strict=True):
        found[at] += part.counted.totals_among(part.rows)
    return found


def _keys(counted: CountedDocuments, of_words: NDArray[np.intp], n_words: int) -> NDArray[np.int64]:
    """Return the keys of n-grams in terms of other words, of which theirs are a part."""
    first = of_words[counted.first]
    pairs = counted.second >= 0
    return np.where(pairs, pair_keys(first, of_words[counted.second], n_words), first)


def _unions(arrays: Sequence[_Sorted]) -> tuple[_Sorted, list[NDArray[np.intp]]]:
    """Return all values of sorted arrays, sorted, and where the values of each array are."""
    places = [np.arange(len(each)) for each in arrays]
    # The small ones come first, so that the largest one is gone through once.
    order = sorted(range(len(arrays)), key=lambda place: len(arrays[place]))
    found = arrays[order[0]]
    done = order[:1]
    for place in order[1:]:
        found, at, of_found = _union(arrays[place], found)
        for each in done:
            places[each] = of_found[places[each]]
        places[place] = at
        done.append(place)
    return found, places


def _union(many: _Sorted, few: _Sorted) -> tuple[_Sorted, NDArray[np.intp], NDArray[np.intp]]:
    """Return all values of two sorted arrays, sorted, and where the values of each are."""
    at = np.searchsorted(many, few)
    is_known = at < len(many)
    is_known[is_known] = many[at[is_known]] == few[is_known]
    new = at[~is_known]
    added = np.cumsum(np.bincount(new, minlength=len(many) + 1))
    of_many = np.arange(len(many)) + added[: len(many)]
    of_few = np.empty(len(few), np.intp)
    of_few[is_known] = of_many[at[is_known]]
    of_few[~is_known] = new + np.arange(len(new))
    return np.insert(many, new, few[~is_known]), of_many, of_few  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of a sparse matrix."""

    bounds: NDArray[np.int64]
    columns: NDArray[np.int32]
    amounts: NDArray[np.unsignedinteger[Any]]


def _of_features(counted: CountedDocuments, numbers: NDArray[np.int32], *, binary: bool) -> _Rows:
    """Return the counts of those n-grams that have a number, which becomes their column."""
    columns = np.empty(len(counted.columns), np.int32)
    amounts = np.empty(len(counted.columns), np.uint8 if binary else counted.amounts.dtype)
    bounds = np.zeros(len(counted.bounds), np.int64)
    end = 0
    for start, stop in pairwise(_blocks(counted.bounds)):
        first, last = counted.bounds[start], counted.bounds[stop]
        found = numbers[counted.columns[first:last]]
        is_feature = found != _NONE
        before = np.concatenate(([0], np.cumsum(is_feature)))
        inner = before[counted.bounds[start : stop + 1] - first]
        bounds[start : stop + 1] = end + inner
        kept = end + int(inner[-1])
        columns[end:kept] = found[is_feature]
        amounts[end:kept] = 1 if binary else counted.amounts[first:last][is_feature]
        end = kept
    return _Rows(bounds, columns[:end], amounts[:end])


def _blocks(bounds: NDArray[np.int64]) -> list[int]:
    """Return where blocks of documents begin and end, each with few entries."""
    wanted = np.arange(_ENTRIES, bounds[-1], _ENTRIES)
    inner = np.unique(np.searchsorted(bounds, wanted))
    return [*dict.fromkeys([0, *inner.tolist(), len(bounds) - 1])]


def _in_places(parts: Sequence[Part], rows: Sequence[_Rows], n_features: int) -> sparse.csr_array:
    """Return one matrix of the rows of parts, each in its place."""
    n_documents = sum(len(part.rows) for part in parts)
    part_of, row_of = np.empty(n_documents, np.int32), np.empty(n_documents, np.int64)
    for number, part in enumerate(parts):
        part_of[part.places], row_of[part.places] = number, part.rows
    # Most rows come after the one that they came after before.
    goes_on = (part_of[1:] == part_of[:-1]) & (row_of[1:] == row_of[:-1] + 1)
    edges = [0, *(np.flatnonzero(~goes_on) + 1).tolist(), n_documents] if n_documents else [0]
    if len(parts) == 1 and edges == [0, len(parts[0].counted)]:
        # They are in their places.
        (whole,) = rows
        data = (whole.amounts, whole.columns, narrow(whole.bounds))
        return sparse.csr_array(data, shape=(n_documents, n_features))
    columns, amounts = [np.empty(0, np.int32)], [np.empty(0, np.uint8)]
    lengths = np.empty(n_documents, np.int64)
    for start, stop in pairwise(edges):
        found, first = rows[part_of[start]], int(row_of[start])
        bounds = found.bounds[first : first + stop - start + 1]
        lengths[start:stop] = np.diff(bounds)
        entries = slice(int(bounds[0]), int(bounds[-1]))
        columns.append(found.columns[entries])
        amounts.append(found.amounts[entries])
    ends = narrow(np.concatenate(([0], np.cumsum(lengths))))
    data = (np.concatenate(amounts), np.concatenate(columns), ends)
    return sparse.csr_array(data, shape=(n_documents, n_features))
