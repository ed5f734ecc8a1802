"""The bench of an experiment: training documents laid out on disk for the processes that fit them.

Arrays in files are shared by all processes through the system's page cache, without a copy; the
holdout is not among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from perennial.config.problem import Problem
from perennial.training.cross_validation import Matrix
from perennial.training.validation import Fold

_FOLDS = "folds.npy"
_PARTS = ("data", "indices", "indptr")


@dataclass(frozen=True)
class Bench:
    """A folder with everything that trying a candidate takes."""

    folder: Path

    def problem(self) -> Problem:
        """Return the problem as the experiment sees it, with the classes that models learn."""
        problem = Problem.model_validate_json((self.folder / "problem.json").read_bytes())
        return problem.with_classes(json.loads((self.folder / "classes.json").read_bytes()))

    def counts(self, name: str) -> Matrix:
        """Return the counts or fields that a candidate starts from, mapped into memory."""
        number, shape = json.loads((self.folder / "counts.json").read_bytes())[name]
        dense = self.folder / f"{number}.npy"
        if dense.exists():
            fields: NDArray[np.float64] = np.load(dense, mmap_mode="r")
            return fields
        parts = [np.load(self.folder / f"{number}-{part}.npy", mmap_mode="r") for part in _PARTS]
        return sparse.csr_array(tuple(parts), shape=tuple(shape), copy=False)

    def labels(self) -> NDArray[np.str_]:
        """Return the labels of the training documents."""
        labels: NDArray[np.str_] = np.load(self.folder / "labels.npy")
        return labels

    def folds(self) -> list[Fold]:
        """Return the folds of the training documents."""
        return [Fold(learned, predicted) for learned, predicted in np.load(self.folder / _FOLDS)]

    @property
    def n_folds(self) -> int:
        """The number of folds."""
        return len(np.load(self.folder / _FOLDS, mmap_mode="r"))


@contextmanager
def laid_out(
    parent: Path,
    problem: Problem,
    counts: Mapping[str, Matrix],
    labels: NDArray[np.str_],
    folds: Sequence[Fold],
) -> Iterator[Bench]:
    """Yield a bench that is there as long as the block runs.

    Parameters
    ----------
    parent : Path
        Where the folder may be made.
    problem : Problem
        The problem as the experiment sees it.
    counts : dict
        The counts or fields of each candidate; those that share one matrix share its files.
    labels : ndarray of str, shape (n_training,)
        Labels of the training documents.
    folds : sequence of Fold
        Their folds.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=parent, prefix="experiment-") as name:
        folder = Path(name)
        numbers: dict[int, int] = {}
        index = {}
        for candidate, matrix in counts.items():
            number = numbers.setdefault(id(matrix), len(numbers))
            index[candidate] = (number, matrix.shape)
            for file, part in _files(folder, number, matrix):
                if not file.exists():
                    np.save(file, part)
        (folder / "counts.json").write_text(json.dumps(index))
        (folder / "problem.json").write_text(problem.model_dump_json())
        np.save(folder / "labels.npy", labels)
        (folder / "classes.json").write_text(json.dumps(problem.classes))
        np.save(folder / _FOLDS, np.array([(fold.learned, fold.predicted) for fold in folds]))
        yield Bench(folder)


def _files(folder: Path, number: int, matrix: Matrix) -> Iterator[tuple[Path, NDArray[Any]]]:
    if isinstance(matrix, np.ndarray):
        yield folder / f"{number}.npy", matrix
        return
    for part in _PARTS:
        yield folder / f"{number}-{part}.npy", getattr(matrix, part)
