"""Prepare: a snapshot, split and normalised once for all candidates that share a step."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from scipy import sparse

from perennial.config.problem import Candidate, Problem, TabularCandidate
from perennial.errors import OutsideError
from perennial.gates.slices import FIELDS, LENGTH, SOURCE
from perennial.inputs.base import TextInputs, inputs_of
from perennial.inputs.documents import from_feedback, in_holdout
from perennial.inputs.feedback import newest_feedback, within_share
from perennial.settings import get_settings
from perennial.stores.snapshots import Snapshot, SnapshotStore
from perennial.training.pipelines import Counter, build_counter, build_normalizer
from perennial.training.validation import validation_parts
from tasks.orchestration.retries import COMPUTING_SECONDS

_AnyCandidate = Candidate | TabularCandidate
_Shared = tuple[Hashable, ...]


@dataclass(frozen=True, eq=False)
class SharedCounts:
    """Features of the training documents, and what made them: counts of n-grams, or fields."""

    counter: Counter
    matrix: sparse.csr_array | NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Holdout:
    """The part of a snapshot that nobody learns from.

    Attributes
    ----------
    snapshot : Snapshot
        Where it comes from.
    holdout_inputs : Array, shape (n_holdout,)
        The raw inputs of the holdout: texts, or records of fields.
    holdout_labels : ndarray of str, shape (n_holdout,)
        Their labels.
    holdout_content : Array of bytes, shape (n_holdout,)
        Their content hashes.
    holdout_traits : Table of n_holdout rows
        What slices are made of: ``length``, ``source`` and ``fields``.
    shown_feedback : Table
        The newest documents from feedback that are not judged on, with their ``sender``.
    """

    snapshot: Snapshot
    holdout_inputs: pa.Array
    holdout_labels: NDArray[np.str_]
    holdout_content: pa.BinaryArray
    holdout_traits: pa.Table
    shown_feedback: pa.Table


@dataclass(frozen=True, eq=False)
class Dataset(Holdout):
    """A snapshot, ready for training; see `Holdout` for the rest of its attributes.

    Attributes
    ----------
    inputs : Array, shape (n_training,)
        The raw inputs of the training documents: texts, or records of fields.
    labels : ndarray of str, shape (n_training,)
        Labels of the training documents.
    content : Array of bytes, shape (n_training,)
        Content hashes of the training documents.
    judged : ndarray of bool, shape (n_training,)
        Which training documents may choose and tune models: all but feedback, unless the problem
        trusts it.
    folds : sequence of ndarray of bool, shape (n_training,) each
        Which training documents choose the challenger. Each fold is predicted by models fitted on
        all others; there is none when there is one candidate.
    counts : dict
        Features of the training documents, for each distinct specification of the candidates.
    feedback_documents : int
        How many documents of the snapshot come from feedback.
    feedback_left_out : int
        How many of them are not learned from, as they are more than their share.
    """

    inputs: pa.Array
    labels: NDArray[np.str_]
    content: pa.BinaryArray
    judged: NDArray[np.bool_]
    folds: Sequence[NDArray[np.bool_]]
    counts: dict[_Shared, SharedCounts]
    feedback_documents: int
    feedback_left_out: int

    def counts_of(self, candidate: _AnyCandidate) -> SharedCounts:
        """Return the features of one candidate."""
        return self.counts[candidate.shared]


@task(name="prepare", cache_policy=NO_CACHE, timeout_seconds=COMPUTING_SECONDS)
def prepare(problem: Problem, snapshot: Snapshot) -> Dataset:
    """Read a snapshot, split it by content, and compute what several candidates share.

    Raises
    ------
    OutsideError
        If the snapshot cannot be read, or if training documents or holdout lack a label.
    """
    split = _split(problem, snapshot)
    _require_labels(problem, snapshot, split.training, "training documents")
    holdout = _holdout(problem, snapshot, split)
    inputs = split.training[inputs_of(problem).column.name].combine_chunks()
    dataset = Dataset(
        **vars(holdout),
        inputs=inputs,
        labels=_strings(split.training["label"]),
        content=split.training["content"].combine_chunks(),
        judged=split.judged,
        folds=_folds(problem, snapshot, split.training, split.judged),
        counts=_count_shared(problem, inputs),
        feedback_documents=split.feedback_documents,
        feedback_left_out=split.feedback_left_out,
    )
    get_run_logger().info(
        "Prepared snapshot %s: %s training documents, %s in the holdout; %s from feedback, %s.",
        snapshot.version,
        f"{len(split.training):,}",
        f"{len(split.holdout):,}",
        f"{split.feedback_documents:,}",
        problem.feedback.meaning,
    )
    if split.feedback_left_out:
        get_run_logger().warning(
            "Left out %s documents from feedback: more than feedback.max_share %g of the training "
            "documents; perennial feedback %s lists who sends them.",
            f"{split.feedback_left_out:,}",
            problem.feedback.max_share,
            problem.name,
        )
    return dataset


def hold_out(problem: Problem, snapshot: Snapshot) -> Holdout:
    """Read the holdout of a snapshot alone, to compare versions that are made already.

    Raises
    ------
    OutsideError
        If the snapshot cannot be read, or if the holdout lacks a label.
    """
    return _holdout(problem, snapshot, _split(problem, snapshot))


@dataclass(frozen=True, eq=False)
class _Split:
    """The documents of a snapshot, divided.

    Attributes
    ----------
    training, holdout : Table
        The two parts.
    judged : ndarray of bool, shape (n_training,)
        As in `Dataset`.
    not_judged_on : mapping of str to int
        Label -> documents from feedback that may not be in the holdout.
    shown_feedback : Table
        As in `Holdout`.
    feedback_documents, feedback_left_out : int
        As in `Dataset`.
    """

    training: pa.Table
    holdout: pa.Table
    judged: NDArray[np.bool_]
    not_judged_on: Mapping[str, int]
    shown_feedback: pa.Table
    feedback_documents: int
    feedback_left_out: int


def _split(problem: Problem, snapshot: Snapshot) -> _Split:
    documents = SnapshotStore(problem.name, get_settings()).read(snapshot)
    feedback = from_feedback(documents)
    may_judge = ~feedback | problem.feedback.is_judged_on
    held_out = in_holdout(documents["content"].combine_chunks(), problem.holdout) & may_judge
    training = documents.filter(pa.array(~held_out))
    kept = within_share(training, problem.feedback)
    return _Split(
        training=training.filter(pa.array(kept)),
        holdout=documents.filter(pa.array(held_out)),
        judged=may_judge[~held_out][kept],
        not_judged_on=_count_labels(documents["label"], ~may_judge),
        shown_feedback=newest_feedback(documents.filter(pa.array(~may_judge))),
        feedback_documents=int(feedback.sum()),
        feedback_left_out=int((~kept).sum()),
    )


def _holdout(problem: Problem, snapshot: Snapshot, split: _Split) -> Holdout:
    documents = split.holdout
    _require_labels(problem, snapshot, documents, "holdout documents", split.not_judged_on)
    return Holdout(
        snapshot=snapshot,
        holdout_inputs=documents[inputs_of(problem).column.name].combine_chunks(),
        holdout_labels=_strings(documents["label"]),
        holdout_content=documents["content"].combine_chunks(),
        holdout_traits=_traits(documents),
        shown_feedback=split.shown_feedback,
    )


def _folds(
    problem: Problem, snapshot: Snapshot, training: pa.Table, judged: NDArray[np.bool_]
) -> list[NDArray[np.bool_]]:
    if len(problem.candidates) == 1:
        return []
    parts = validation_parts(problem.validation, training["content"].combine_chunks())
    folds = [part & judged for part in parts]
    for fold in folds:
        rest = training.filter(pa.array(~fold))
        _require_labels(problem, snapshot, rest, "training documents outside of a validation part")
    return folds


def _require_labels(
    problem: Problem,
    snapshot: Snapshot,
    part: pa.Table,
    name: str,
    left_out: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Raise unless a part has documents of every label.

    Parameters
    ----------
    left_out : mapping of str to int
        Label -> documents from feedback, which may not be in the part.
    """
    missing = sorted(set(problem.classes) - set(part["label"].unique().to_pylist()))
    if not missing:
        return
    lacking = (
        f"Among the {len(part):,} {name} of snapshot {snapshot.version} there is no document "
        f"labelled {', '.join(missing)}"
    )
    feedback = sum(left_out.get(label, 0) for label in missing)
    if feedback:
        raise OutsideError(
            f"{lacking}, as {feedback:,} with such a label are from feedback, which is learned "
            "from but not judged on; load labelled documents into the collection, or write "
            f"feedback: {{use: holdout}} in problems/{problem.name}.yaml if you trust whoever "
            "gives feedback."
        )
    raise OutsideError(
        f"{lacking}; check labels and source.query in problems/{problem.name}.yaml, or load more "
        "documents."
    )


def _count_labels(labels: pa.ChunkedArray, of: NDArray[np.bool_]) -> dict[str, int]:
    """Return label -> how many of some documents have it."""
    counts = labels.filter(pa.array(of)).value_counts().to_pylist()
    return {count["values"]: count["counts"] for count in counts}


def _count_shared(problem: Problem, inputs: pa.Array) -> dict[_Shared, SharedCounts]:
    """Normalise once per preparation and count once per kind of features.

    Preparations are worked on side by side: Arrow and NumPy hold no lock while they work.
    """
    groups: dict[Hashable, dict[_Shared, _AnyCandidate]] = {}
    for candidate in problem.candidates.values():
        groups.setdefault(candidate.shared[:1], {})[candidate.shared] = candidate

    def count(group: dict[_Shared, _AnyCandidate]) -> dict[_Shared, SharedCounts]:
        read = build_normalizer(problem, next(iter(group.values()))).transform(inputs)
        return {shared: _count(candidate, read) for shared, candidate in group.items()}

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return dict(ChainMap(*threads.map(count, groups.values())))


def _count(candidate: _AnyCandidate, read: Any) -> SharedCounts:
    counter = build_counter(candidate.features)
    return SharedCounts(counter, counter.fit_transform(read))


def _traits(holdout: pa.Table) -> pa.Table:
    name = TextInputs.column.name
    if name in holdout.column_names:
        lengths = pc.utf8_length(holdout[name]).cast(pa.int64())
    else:
        lengths = pa.nulls(len(holdout), pa.int64())
    return holdout.select([SOURCE, FIELDS]).append_column(LENGTH, lengths)


def _strings(column: pa.ChunkedArray) -> NDArray[np.str_]:
    return np.asarray(column.to_pylist(), dtype=np.str_)
