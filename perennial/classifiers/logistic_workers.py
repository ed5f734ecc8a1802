"""Sums over samples that workers of the engine work out, each over files of its own partitions.

The files lie in a folder that all of them share: the features, labels and costs of each partition,
the weights of each step, and what came of each partition. Only names of files pass the scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from perennial.classifiers.logistic_sums import Floats, Samples, Summing, partitions, sums_of
from perennial.classifiers.row_blocks import rows_of
from perennial.engine.workers import Engine, for_workers

_PARTS = ("data", "indices", "indptr")


@dataclass(frozen=True)
class Partitions:
    """Some partitions over which a worker works out sums.

    Attributes
    ----------
    folder : Path
        Where their files are.
    step : int
        Number of the weights; 0 asks for the sums without weights.
    first, last : int
        The partitions from the first one to before the last one.
    n_features : int
        How many features the samples have.
    """

    folder: Path
    step: int
    first: int
    last: int
    n_features: int


@dataclass(frozen=True, eq=False)
class BlocksOfWorkers:
    """Features that workers read.

    Attributes
    ----------
    places : csr_array, shape (n_samples, n_features)
        The counts that the features are made of.
    weighed : callable
        Returns the features of some rows of them.
    engine : Engine
        The workers.
    folder : Path
        An empty folder on storage that they share.
    """

    places: sparse.csr_array
    weighed: Callable[[sparse.csr_array], sparse.csr_array]
    engine: Engine
    folder: Path

    def summing(self, codes: NDArray[np.int64], costs: Floats) -> Summing:
        """Write the samples for the workers, and return what lets them work out sums."""
        count = 0
        for rows in partitions(self.places, codes):
            features = self.weighed(rows_of(self.places, rows))
            parts = zip(_PARTS, (features.data, features.indices, features.indptr), strict=True)
            for name, numbers in (*parts, ("codes", codes[rows]), ("costs", costs[rows])):
                np.save(_file(self.folder, count, name), numbers)
            count += 1
        return _Summing(self.engine, self.folder, count, self.places.shape[1])


@contextmanager
def blocks_of_workers(
    engine: Engine,
    counts: sparse.csr_array,
    weighed: Callable[[sparse.csr_array], sparse.csr_array],
    parent: Path,
) -> Iterator[BlocksOfWorkers]:
    """Yield features that workers read, from a folder that is there as long as the block runs.

    Parameters
    ----------
    engine : Engine
        The workers.
    counts : csr_array, shape (n_samples, n_features)
        What the features are made of.
    weighed : callable
        Returns the features of some rows of them.
    parent : Path
        Where the folder may be made: storage that the workers share.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=parent, prefix="fit-") as name:
        yield BlocksOfWorkers(counts, weighed, engine, Path(name))


class _Summing:
    """Lets workers work out the sums of all partitions; see `Summing`."""

    def __init__(self, engine: Engine, folder: Path, count: int, n_features: int) -> None:
        self._engine, self._folder, self._count = engine, folder, count
        self._n_features, self._steps = n_features, 0

    def __call__(self, weights: Floats | None) -> Iterator[Floats]:
        """Yield the sums of each partition in order."""
        step = 0
        if weights is not None:
            step = self._steps = self._steps + 1
            _save(self._folder / f"weights-{step}.npy", weights)
        places = min(self._engine.places, self._count)
        ends = [place * self._count // places for place in range(places + 1)]
        parts = [
            Partitions(self._folder, step, first, last, self._n_features)
            for first, last in pairwise(ends)
        ]
        for _ in self._engine.done(sum_partitions, parts):
            pass
        for number in range(self._count):
            file = _sums_file(self._folder, step, number)
            yield np.load(file)
            file.unlink()
        (self._folder / f"weights-{step}.npy").unlink(missing_ok=True)


@for_workers
def sum_partitions(part: Partitions) -> None:
    """Work out the sums of some partitions, and keep those of each in a file."""
    weights = np.load(part.folder / f"weights-{part.step}.npy") if part.step else None
    for number in range(part.first, part.last):
        samples = _samples(part.folder, number, part.n_features)
        _save(_sums_file(part.folder, part.step, number), sums_of(samples, weights))


def _samples(folder: Path, number: int, n_features: int) -> Samples:
    """Return the samples of a partition, mapped into memory."""

    def read(name: str) -> Any:
        return np.load(_file(folder, number, name), mmap_mode="r")

    codes, parts = read("codes"), tuple(read(name) for name in _PARTS)
    features = sparse.csr_array(parts, shape=(len(codes), n_features), copy=False)
    return Samples(features, codes, read("costs"))


def _file(folder: Path, number: int, name: str) -> Path:
    return folder / f"{number}-{name}.npy"


def _sums_file(folder: Path, step: int, number: int) -> Path:
    return folder / f"sums-{step}-{number}.npy"


def _save(file: Path, numbers: Floats) -> None:
    """Write numbers in one step: a worker that was given up for dead may be writing the same."""
    unfinished = file.with_suffix(f".{uuid4().hex}.unfinished")
    with unfinished.open("wb") as opened:
        np.save(opened, numbers)
    unfinished.replace(file)
