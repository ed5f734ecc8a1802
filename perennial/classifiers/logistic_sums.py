"""Sums over samples by which logistic regression is minimised, a partition of the rows at a time.

A partition is the same whoever works it out and however many do: the sums of all partitions, added
in their order, are the same to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import log_softmax

from perennial.classifiers.row_blocks import entries_of, row_blocks, rows_of

Floats: TypeAlias = NDArray[np.float64]
# Called with weights, shape (n_outputs, n_features + 1), or None: yields the sums of each partition
# in order, as `sums_of` returns them.
Summing: TypeAlias = Callable[[Floats | None], Iterable[Floats]]

# Stored numbers of a partition at least: tens of milliseconds of work.
_ENTRIES = 1 << 20
# Stored numbers of a block, of which a copy is made.
_BLOCK = 1 << 19
# So many times as many numbers as its sums have, which are a small part of the work then.
_SHARE = 16


class Blocks(Protocol):
    """Features of which memory holds a block at a time."""

    @property
    def places(self) -> Any:
        """A matrix of their shape whose numbers are zero where they are."""

    def summing(self, codes: NDArray[np.int64], costs: Floats) -> Summing:
        """Return what works out sums over samples with these features.

        Parameters
        ----------
        codes : ndarray of int64, shape (n_samples,)
            Class of each sample.
        costs : ndarray of float64, shape (n_samples,)
            What the loss of each is multiplied with.
        """


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of one partition, or all of them.

    Attributes
    ----------
    features : csr_array or ndarray, shape (n_samples, n_features)
        May be mapped from files, and of any type of numbers.
    codes : ndarray of int64, shape (n_samples,)
        Class of each sample.
    costs : ndarray of float64, shape (n_samples,)
        What the loss of each is multiplied with.
    """

    features: Any
    codes: NDArray[np.int64]
    costs: Floats

    def take(self, rows: slice) -> Samples:
        """Return some of them."""
        return Samples(rows_of(self.features, rows), self.codes[rows], self.costs[rows])


def _nothing() -> None:
    """Let go of nothing."""


@dataclass(frozen=True, eq=False)
class BlocksHere:
    """Features that this process reads.

    Attributes
    ----------
    places : csr_array or ndarray, shape (n_samples, n_features)
        The features, which may be mapped from files.
    release : callable
        Called after each block, to let go of what was read of it.
    """

    places: Any
    release: Callable[[], None] = _nothing

    def summing(self, codes: NDArray[np.int64], costs: Floats) -> Summing:
        """Return what works out sums in this process."""
        samples = Samples(self.places, codes, costs)

        def sums(weights: Floats | None) -> Iterator[Floats]:
            for rows in partitions(self.places, codes):
                yield sums_of(samples.take(rows), weights, self.release)

        return sums


def partitions(features: Any, codes: NDArray[np.int64]) -> Iterator[slice]:
    """Yield the rows of each partition; they depend on the samples alone."""
    n_outputs = n_outputs_of(int(codes.max(initial=0)) + 1)
    yield from row_blocks(features, max(_ENTRIES, _SHARE * n_outputs * features.shape[1]))


def n_outputs_of(n_classes: int) -> int:
    """Return how many outputs tell so many classes apart: the log-odds of one, or one for each."""
    return 1 if n_classes == 2 else n_classes


def sums_of(
    samples: Samples, weights: Floats | None, release: Callable[[], None] = _nothing
) -> Floats:
    """Return sums over samples.

    Parameters
    ----------
    samples : Samples
        They are read a block at a time.
    weights : ndarray of float64, shape (n_outputs, n_features + 1), or None
        The intercepts are the last column.
    release : callable
        Called after each block.

    Returns
    -------
    ndarray of float64
        With weights the slopes of the losses by each of them, row by row, and the losses at the
        end. Without weights the squares of each feature times the costs.
    """
    found = np.zeros(samples.features.shape[1] if weights is None else weights.size + 1)
    copied = _Copies()
    for rows in row_blocks(samples.features, _BLOCK):
        block = Samples(copied.of(samples.features, rows), samples.codes[rows], samples.costs[rows])
        if weights is None:
            found += _squares(block.features) @ block.costs
        else:
            _add_slopes(found, block, weights)
        release()
    return found


class _Copies:
    """Copies of blocks as float64, each in the memory of the one before.

    A worker of Dask gives memory back to the system at once, and new memory would take most of the
    time.
    """

    def __init__(self) -> None:
        self._data = np.empty(0)

    def of(self, features: Any, rows: slice) -> Any:
        """Return a copy of some rows, which holds until the next one is made."""
        if not sparse.issparse(features):
            return features[rows].astype(np.float64)
        inside, ends = entries_of(features, rows), features.indptr[rows.start : rows.stop + 1]
        size = inside.stop - inside.start
        if len(self._data) < size:
            self._data = np.empty(size)
        data = self._data[:size]
        data[:] = features.data[inside]
        shape = (rows.stop - rows.start, features.shape[1])
        parts = (data, features.indices[inside], ends - ends[0])
        return type(features)(parts, shape=shape, copy=False)


def _squares(features: Any) -> Any:
    return (features.power(2) if hasattr(features, "power") else features**2).T


def _add_slopes(found: Floats, block: Samples, weights: Floats) -> None:
    features, slopes = block.features, found[:-1].reshape(weights.shape)
    # One output is a vector: for SciPy a matrix of one column is twice the work.
    by_feature = weights[0, :-1] if len(weights) == 1 else weights[:, :-1].T
    outputs = (features @ by_feature).reshape(-1, len(weights)) + weights[:, -1]
    losses, excess = _losses(outputs, block.codes)
    # Not by BLAS, whose threads add in an order of their own.
    found[-1] += (losses * block.costs).sum()
    excess *= block.costs[:, None]
    against = excess[:, 0] if len(weights) == 1 else excess
    slopes[:, :-1] += (features.T @ against).T
    slopes[:, -1] += excess.sum(axis=0)


def _losses(outputs: Floats, codes: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the loss of each sample, and its slope by each output."""
    if outputs.shape[1] == 1:
        signs = np.where(codes == 1, -1.0, 1.0)
        against = signs * outputs[:, 0]
        losses = np.logaddexp(0.0, against)
        return losses, (signs * np.exp(against - losses))[:, None]
    logs = log_softmax(outputs, axis=1)
    rows = np.arange(len(codes))
    excess = np.exp(logs)
    excess[rows, codes] -= 1.0
    return -logs[rows, codes], excess
