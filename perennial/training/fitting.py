"""Fitting: a candidate's steps after the counts, without copies of the matrix.

A linear model of many numbers, or whose fit by liblinear would take more memory than is allowed, is
fitted over blocks. Its weighed features take four bytes each. Where that is too much as well, they
are in a file without a name, which is mapped, and gone when the fit ends; or workers of the engine
share the blocks, if there are any. The result is the same.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.pipeline import Pipeline

from perennial.classifiers.logistic_blocks import (
    LEAST_ITERATIONS,
    fit_logistic_regression,
    is_minimised_here,
)
from perennial.classifiers.logistic_sums import Blocks, BlocksHere
from perennial.classifiers.logistic_workers import blocks_of_workers
from perennial.classifiers.nb_svm import NbSvm
from perennial.classifiers.row_blocks import entries_of, row_blocks, rows_of
from perennial.engine.workers import Engine
from perennial.settings import get_settings

# Of a stored number: its weight, with place and value in liblinear; and its weight over blocks.
_LIBLINEAR_BYTES, _BLOCKS_BYTES = 8 + 16, 4
# Above so many numbers liblinear, which jumps between them, waits for memory more than it works.
_LARGE = 1 << 23
# What these learn are sums over documents: of whole numbers they are exact, whatever the order.
_ADDING = (MultinomialNB, ComplementNB)
_ADDED = 1 << 20
_ENGINE: ContextVar[Engine | None] = ContextVar("engine", default=None)


@contextmanager
def divided_among(engine: Engine | None) -> Iterator[None]:
    """Let workers of an engine do the fits over blocks during the block, if there is an engine."""
    token = _ENGINE.set(engine)
    try:
        yield
    finally:
        _ENGINE.reset(token)


def compact(counts: sparse.csr_array) -> sparse.csr_array:
    """Return counts, which are whole numbers, in as few bytes as they take."""
    kind = np.min_scalar_type(int(counts.data.max(initial=0)))
    parts = (counts.data.astype(kind, copy=False), counts.indices, counts.indptr)
    return sparse.csr_array(parts, shape=counts.shape)


def fit(classifier: Pipeline, matrix: Any, labels: NDArray[np.str_]) -> Pipeline:
    """Fit the steps of a candidate after the counts, and return them.

    The result is that of ``classifier.fit(matrix, labels)``. Of a sparse matrix it takes less
    memory: weights are worked out a block of rows at a time, in one array beside the counts, and an
    estimator that can scales them there. Where `is_over_blocks` says so, the model minimises the
    same, but its last digits differ.

    Parameters
    ----------
    classifier : Pipeline
        See `perennial.training.pipelines.build_classifier`.
    matrix : csr_array or ndarray, shape (n_documents, n_features)
        Counts, or columns of records; it stays as it is.
    labels : ndarray of str, shape (n_documents,)
        The labels.
    """
    *before, (_, estimator) = classifier.steps
    if not sparse.issparse(matrix) or matrix.format != "csr" or not _weighs_only(before):
        return classifier.fit(matrix, labels)
    if not before and type(estimator) in _ADDING and matrix.dtype.kind == "u":
        _add_up(estimator, matrix, labels)
        return classifier
    for _, weigh in before:
        weigh.fit(_places_of(matrix))
    if is_over_blocks(classifier, matrix):
        with _blocks(before[0][1] if before else None, matrix) as blocks:
            _fit_over_blocks(estimator, blocks, labels)
        return classifier
    weighed = _weighed(before[0][1] if before else None, matrix)
    getattr(estimator, "fit_in_place", estimator.fit)(weighed, labels)
    return classifier


def _places_of(counts: sparse.csr_array) -> sparse.csr_array:
    """Return where counts are, which is all that decides weights, without a copy of them."""
    ones = np.broadcast_to(np.float64(1), counts.data.shape)
    return sparse.csr_array((ones, counts.indices, counts.indptr), shape=counts.shape)


def _add_up(estimator: Any, counts: sparse.csr_array, labels: NDArray[np.str_]) -> None:
    """Fit naive Bayes to counts, of which a block at a time becomes floating-point numbers."""
    classes = np.unique(labels)
    for rows in row_blocks(counts, _ADDED):
        estimator.partial_fit(rows_of(counts, rows), labels[rows], classes=classes)


def is_over_blocks(classifier: Pipeline, matrix: Any) -> bool:
    """Tell whether a candidate is linear, and too large to be fitted by liblinear."""
    *before, (_, estimator) = classifier.steps
    if not sparse.issparse(matrix) or matrix.format != "csr" or not _weighs_only(before):
        return False
    if type(estimator) is LogisticRegression:
        able = is_minimised_here(estimator)
    else:
        able = type(estimator) is NbSvm
    too_much = matrix.nnz * _LIBLINEAR_BYTES > get_settings().memory_of_a_fit
    return able and (matrix.nnz > _LARGE or too_much)


def exceeds_memory(matrix: sparse.csr_array) -> bool:
    """Tell whether the features of a fit over blocks are too large for the memory allowed."""
    return memory_of(matrix) > get_settings().memory_of_a_fit


def memory_of(matrix: sparse.csr_array) -> int:
    """Return the bytes that a fit over blocks takes beside a matrix that memory holds."""
    return int(matrix.nnz) * _BLOCKS_BYTES


def _fit_over_blocks(estimator: Any, blocks: Blocks, labels: NDArray[np.str_]) -> None:
    # Whoever asks later whether the fit has converged compares with the limit that it had.
    estimator.set_params(max_iter=max(estimator.max_iter, LEAST_ITERATIONS))
    if isinstance(estimator, NbSvm):
        estimator.fit_over_blocks(blocks, labels)
    else:
        fit_logistic_regression(estimator, blocks, labels)


@contextmanager
def _blocks(weigh: TfidfTransformer | None, counts: Any) -> Iterator[Blocks]:
    """Yield weighed counts: in memory, or in files that this process or workers map."""
    weighed, engine = partial(_weighed, weigh, kind=np.float32), _ENGINE.get()
    if not exceeds_memory(counts):
        yield BlocksHere(weighed(counts))
    elif engine is None:
        with _mapped(weigh, counts) as blocks:
            yield blocks
    else:
        with blocks_of_workers(engine, counts, weighed, get_settings().data_dir) as divided:
            yield divided


@contextmanager
def _mapped(weigh: TfidfTransformer | None, counts: Any) -> Iterator[Blocks]:
    """Yield weighed counts in a mapped file."""
    folder = get_settings().data_dir
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder) as file:
        # Written, and not mapped, so that a full disk is an error and not the end of the process.
        for _, block in _weighed_blocks(weigh, counts):
            file.write(block.data.astype(np.float32).data)
        file.flush()
        pages = mmap.mmap(file.fileno(), 0)
        data = np.frombuffer(pages, np.float32)
        parts = (data, counts.indices, counts.indptr)
        yield BlocksHere(
            sparse.csr_array(parts, shape=counts.shape),
            lambda: pages.madvise(mmap.MADV_DONTNEED),
        )


def _weighs_only(steps: list[tuple[str, Any]]) -> bool:
    return not steps or [type(step) for _, step in steps] == [TfidfTransformer]


def _weighed(
    weigh: TfidfTransformer | None, counts: Any, kind: type[np.floating[Any]] = np.float64
) -> sparse.csr_array:
    """Return weighed counts, which share their places with the counts."""
    data = np.empty(counts.nnz, kind)
    for rows, block in _weighed_blocks(weigh, counts):
        data[entries_of(counts, rows)] = block.data
    return sparse.csr_array((data, counts.indices, counts.indptr), shape=counts.shape)


def _weighed_blocks(
    weigh: TfidfTransformer | None, counts: Any
) -> Iterator[tuple[slice, sparse.csr_array]]:
    for rows in row_blocks(counts):
        block = rows_of(counts, rows).astype(np.float64)
        yield rows, block if weigh is None else weigh.transform(block, copy=False)
