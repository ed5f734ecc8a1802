"""Prepare: a snapshot, split and normalised once for all candidates that share a step."""

from __future__ import annotations

import os
from collections import ChainMap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from scipy import sparse

from modeling.candidates import build_counter, build_normalizer
from modeling.documents import in_holdout, in_validation
from modeling.features import NgramCounter
from modeling.problem import Candidate, Features, Problem
from modeling.tokens import Tokens
from settings import OutsideError, get_settings
from tasks.failures import COMPUTING_SECONDS
from tasks.snapshots import Snapshot, SnapshotStore

# The weighting is cheap and learned per fit; everything else of the features can be shared.
_Shared = tuple[str, bool, int, int | None, bool]


@dataclass(frozen=True, eq=False)
class SharedCounts:
    """Counts of the training documents, and the counter that made them."""

    counter: NgramCounter
    matrix: sparse.csr_array


@dataclass(frozen=True, eq=False)
class Dataset:
    """A snapshot, ready for training.

    Attributes
    ----------
    snapshot : Snapshot
        Where it comes from.
    labels : ndarray of str, shape (n_training,)
        Labels of the training documents.
    validation : ndarray of bool, shape (n_training,)
        Which training documents choose the challenger; none when there is one candidate.
    counts : dict
        Features of the training documents, for each distinct specification of the candidates.
    holdout_texts : Array of str, shape (n_holdout,)
        The raw texts of the holdout.
    holdout_labels : ndarray of str, shape (n_holdout,)
        Their labels.
    holdout_content : Array of bytes, shape (n_holdout,)
        Their content hashes.
    """

    snapshot: Snapshot
    labels: NDArray[np.str_]
    validation: NDArray[np.bool_]
    counts: dict[_Shared, SharedCounts]
    holdout_texts: pa.LargeStringArray
    holdout_labels: NDArray[np.str_]
    holdout_content: pa.BinaryArray

    def counts_of(self, candidate: Candidate) -> SharedCounts:
        """Return the features of one candidate."""
        return self.counts[_shared(candidate)]


def _shared(candidate: Candidate) -> _Shared:
    f: Features = candidate.features
    return candidate.preparation, f.bigrams, f.min_documents, f.max_features, f.binary


@task(name="prepare", cache_policy=NO_CACHE, timeout_seconds=COMPUTING_SECONDS)
def prepare(problem: Problem, snapshot: Snapshot) -> Dataset:
    """Read a snapshot, split it by content, and compute what several candidates share.

    Raises
    ------
    OutsideError
        If the snapshot cannot be read, or if training documents or holdout lack a label.
    """
    documents = SnapshotStore(problem.name, get_settings()).read(snapshot)
    content = documents["content"].combine_chunks()
    held_out = in_holdout(content, problem.holdout)
    training, holdout = documents.filter(pa.array(~held_out)), documents.filter(pa.array(held_out))
    _require_labels(problem, snapshot, training, "training documents")
    _require_labels(problem, snapshot, holdout, "holdout")
    texts = training["text"].combine_chunks()
    dataset = Dataset(
        snapshot=snapshot,
        labels=_strings(training["label"]),
        validation=_validation(problem, training),
        counts=_count_shared(problem, texts),
        holdout_texts=holdout["text"].combine_chunks(),
        holdout_labels=_strings(holdout["label"]),
        holdout_content=holdout["content"].combine_chunks(),
    )
    get_run_logger().info(
        "Prepared snapshot %s: %s training documents, %s in the holdout.",
        snapshot.version,
        f"{len(training):,}",
        f"{len(holdout):,}",
    )
    return dataset


def _validation(problem: Problem, training: pa.Table) -> NDArray[np.bool_]:
    if len(problem.candidates) == 1:
        return np.zeros(len(training), np.bool_)
    return in_validation(training["content"].combine_chunks(), problem.validation)


def _require_labels(problem: Problem, snapshot: Snapshot, part: pa.Table, name: str) -> None:
    missing = set(problem.classes) - set(part["label"].unique().to_pylist())
    if missing:
        raise OutsideError(
            f"The {name} of snapshot {snapshot.version} have no document labelled "
            f"{', '.join(sorted(missing))} among {len(part):,}; check labels and source.query in "
            f"problems/{problem.name}.yaml, or load more documents."
        )


def _count_shared(problem: Problem, texts: pa.LargeStringArray) -> dict[_Shared, SharedCounts]:
    """Normalise once per preparation and count once per kind of features.

    Preparations are worked on side by side: Arrow and NumPy hold no lock while they work.
    """
    groups: dict[str, dict[_Shared, Candidate]] = {}
    for candidate in problem.candidates.values():
        groups.setdefault(candidate.preparation, {})[_shared(candidate)] = candidate

    def count(group: dict[_Shared, Candidate]) -> dict[_Shared, SharedCounts]:
        tokens = build_normalizer(problem, next(iter(group.values()))).transform(texts)
        return {shared: _count(candidate.features, tokens) for shared, candidate in group.items()}

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return dict(ChainMap(*threads.map(count, groups.values())))


def _count(features: Features, tokens: Tokens) -> SharedCounts:
    counter = build_counter(features)
    return SharedCounts(counter, counter.fit_transform(tokens))


def _strings(column: pa.ChunkedArray) -> NDArray[np.str_]:
    return np.asarray(column.to_pylist(), dtype=np.str_)
