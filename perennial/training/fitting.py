"""Fitting: a candidate's steps after the counts, without copies of the matrix.

A linear model whose fit would take more memory than is allowed is fitted over blocks: its weighed
features are in a file without a name, which is mapped, and which is gone when the fit ends. Where
there are workers of the engine, they share the blocks, and the result is the same.
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
from sklearn.pipeline import Pipeline

from perennial.classifiers.logistic_blocks import fit_logistic_regression, is_minimised_here
from perennial.classifiers.logistic_sums import Blocks, BlocksHere
from perennial.classifiers.logistic_workers import blocks_of_workers
from perennial.classifiers.nb_svm import NbSvm
from perennial.classifiers.row_blocks import entries_of, row_blocks, rows_of
from perennial.engine.workers import Engine
from perennial.settings import get_settings

# Of a stored number: its weight, and place and value in liblinear.
_FIT_BYTES = 8 + 16
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
    for _, weigh in before:
        weigh.fit(matrix)
    if is_over_blocks(classifier, matrix):
        with _blocks(before[0][1] if before else None, matrix) as blocks:
            _fit_over_blocks(estimator, blocks, labels)
        return classifier
    weighed = _weighed(before[0][1] if before else None, matrix)
    getattr(estimator, "fit_in_place", estimator.fit)(weighed, labels)
    return classifier


def is_over_blocks(classifier: Pipeline, matrix: Any) -> bool:
    """Tell whether a candidate is linear, and too large to be fitted in the memory allowed."""
    *before, (_, estimator) = classifier.steps
    if not sparse.issparse(matrix) or matrix.format != "csr" or not _weighs_only(before):
        return False
    if type(estimator) is LogisticRegression:
        able = is_minimised_here(estimator)
    else:
        able = type(estimator) is NbSvm
    return able and memory_of(matrix) > get_settings().memory_of_a_fit


def memory_of(matrix: sparse.csr_array) -> int:
    """Return the bytes that liblinear and the weights take beside a matrix."""
    return int(matrix.nnz) * _FIT_BYTES


def _fit_over_blocks(estimator: Any, blocks: Blocks, labels: NDArray[np.str_]) -> None:
    if isinstance(estimator, NbSvm):
        estimator.fit_over_blocks(blocks, labels)
    else:
        fit_logistic_regression(estimator, blocks, labels)


@contextmanager
def _blocks(weigh: TfidfTransformer | None, counts: Any) -> Iterator[Blocks]:
    """Yield weighed counts in files, which workers of the engine map, or this process."""
    engine = _ENGINE.get()
    if engine is None:
        with _mapped(weigh, counts) as blocks:
            yield blocks
        return
    weighed = partial(_in_32_bits, weigh)
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


def _weighed(weigh: TfidfTransformer | None, counts: Any) -> sparse.csr_array:
    """Return counts as float64, and weighed, which share their places with the counts."""
    data = np.empty(counts.nnz, np.float64)
    for rows, block in _weighed_blocks(weigh, counts):
        data[entries_of(counts, rows)] = block.data
    return sparse.csr_array((data, counts.indices, counts.indptr), shape=counts.shape)


def _in_32_bits(weigh: TfidfTransformer | None, counts: Any) -> sparse.csr_array:
    """Return counts as float32, and weighed, which share their places with the counts."""
    data = np.empty(counts.nnz, np.float32)
    for rows, block in _weighed_blocks(weigh, counts):
        data[entries_of(counts, rows)] = block.data
    return sparse.csr_array((data, counts.indices, counts.indptr), shape=counts.shape)


def _weighed_blocks(
    weigh: TfidfTransformer | None, counts: Any
) -> Iterator[tuple[slice, sparse.csr_array]]:
    for rows in row_blocks(counts):
        block = rows_of(counts, rows).astype(np.float64)
        yield rows, block if weigh is None else weigh.transform(block, copy=False)
