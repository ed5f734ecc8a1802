"""Prepare: a snapshot, split and normalised once for all candidates that share a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from perennial.commands import counted
from perennial.config.problem import Problem
from perennial.documents.documents import from_feedback
from perennial.documents.feedback import newest_feedback, within_share
from perennial.errors import OutsideError
from perennial.gates.slices import FIELDS, LENGTH, SOURCE
from perennial.inputs.base import TextInputs, inputs_of
from perennial.settings import get_settings
from perennial.splits.rare_labels import relabel
from perennial.splits.split import (
    CONTENT,
    CREATED_AT,
    KEY_COLUMNS,
    LABEL,
    SplitRule,
    microseconds,
    split_documents,
)
from perennial.splits.summary import SplitSummary
from perennial.stores.snapshots.kept_counts import KeptCounts
from perennial.stores.snapshots.store import Snapshot, SnapshotStore
from perennial.text.analyzer import AnalyzerChoice, choose_analyzer
from perennial.training.validation import Bonds, Fold, validation_folds
from tasks.data.features import AnyCandidate, Shared, SharedCounts, count_shared
from tasks.data.labels import Divided, require_both_sides, require_common_labels
from tasks.orchestration.retries import COMPUTING_SECONDS

_MEGABYTE = 1_000_000


@dataclass(frozen=True, eq=False)
class Holdout:
    """The part of a snapshot that nobody learns from.

    Attributes
    ----------
    problem : Problem
        The problem, with the classes that are left of its rare labels.
    snapshot : Snapshot
        Where it comes from.
    holdout_inputs : Array, shape (n_holdout,)
        The raw inputs of the holdout: texts, or records of fields.
    holdout_labels : ndarray of str, shape (n_holdout,)
        Their labels.
    holdout_keys : Table of n_holdout rows
        What tells whether a version has learned from them: see `tasks.promotion.unseen`.
    holdout_traits : Table of n_holdout rows
        What slices are made of: ``length``, ``source`` and ``fields``.
    shown_feedback : Table
        The newest documents from feedback that are not judged on, with their ``sender``.
    """

    problem: Problem
    snapshot: Snapshot
    holdout_inputs: pa.Array
    holdout_labels: NDArray[np.str_]
    holdout_keys: pa.Table
    holdout_traits: pa.Table
    shown_feedback: pa.Table

    @property
    def holdout_content(self) -> pa.BinaryArray:
        """Content hashes of the holdout, shape (n_holdout,)."""
        return self.holdout_keys[CONTENT].combine_chunks()


@dataclass(frozen=True, eq=False)
class Dataset(Holdout):
    """A snapshot, ready for training; see `Holdout` for the rest of its attributes.

    Attributes
    ----------
    ids : Array of str, shape (n_training,)
        Ids of the training documents, see `perennial.inputs.keys.document_key`.
    inputs : Array, shape (n_training,)
        The raw inputs of the training documents: texts, or records of fields.
    labels : ndarray of str, shape (n_training,)
        Labels of the training documents.
    content : Array of bytes, shape (n_training,)
        Content hashes of the training documents.
    bonds : Bonds
        What holds training documents together in folds, and their order by time.
    judged : ndarray of bool, shape (n_training,)
        Which training documents may choose and tune models: all but feedback, unless the problem
        trusts it.
    folds : sequence of Fold
        The training documents that choose the challenger, and those that models learn from to
        predict them; there is none when there is one candidate.
    counts : dict
        Features of the training documents, for each distinct specification of the candidates; why
        there are none, where these documents have none.
    feedback_documents : int
        How many documents of the snapshot come from feedback.
    split : SplitSummary
        How the documents were divided.
    feedback_left_out : int
        How many of them are not learned from, as they are more than their share.
    analyzer : AnalyzerChoice or None
        What is counted by candidates that leave it to the documents; None if none does.
    """

    ids: pa.Array
    inputs: pa.Array
    labels: NDArray[np.str_]
    content: pa.BinaryArray
    bonds: Bonds
    judged: NDArray[np.bool_]
    folds: Sequence[Fold]
    counts: dict[Shared, SharedCounts | ValueError]
    feedback_documents: int
    split: SplitSummary
    feedback_left_out: int
    analyzer: AnalyzerChoice | None = None

    def specify(self, problem: Problem) -> Problem:
        """Return the problem with what these documents decide: its classes, and the analyzer."""
        found = problem.with_classes(self.problem.classes)
        return found if self.analyzer is None else found.with_analyzer(self.analyzer.analyzer)

    def counts_of(self, candidate: AnyCandidate) -> SharedCounts:
        """Return the features of one candidate.

        Raises
        ------
        ValueError
            If the documents have none.
        """
        found = self.counts[candidate.shared]
        if isinstance(found, ValueError):
            raise found
        return found

    @property
    def features_mb(self) -> float:
        """The size of the features of all candidates, which share those that are the same."""
        found = (each for each in self.counts.values() if isinstance(each, SharedCounts))
        return sum(each.nbytes for each in found) / _MEGABYTE

    def size_of(self, candidate: AnyCandidate) -> int:
        """Return how many numbers the features of one candidate are."""
        found = self.counts[candidate.shared]
        return 0 if isinstance(found, ValueError) else int(found.matrix.size)


@task(name="prepare", cache_policy=NO_CACHE, timeout_seconds=COMPUTING_SECONDS)
def prepare(problem: Problem, snapshot: Snapshot) -> Dataset:
    """Read a snapshot, split it, and compute what several candidates share.

    Raises
    ------
    OutsideError
        If the snapshot cannot be read, or if training documents or holdout lack a label.
    """
    settings = get_settings()
    kept = KeptCounts(SnapshotStore(problem.name, settings), settings)
    split = _split(problem, snapshot)
    holdout = _holdout(snapshot, split)
    problem, training = split.problem, split.training
    inputs = training[inputs_of(problem).column.name].combine_chunks()
    labels = _strings(training[LABEL])
    ids, content = training["id"].combine_chunks(), training[CONTENT].combine_chunks()
    has_digests = "digest" in training.column_names
    digests = training["digest"].combine_chunks() if has_digests else None
    folds = _folds(problem, split, labels)
    # The tables are as large as the texts, and the rest is worked on beside them otherwise.
    empty = training.schema.empty_table()
    split = replace(split, training=empty, holdout=empty)
    del training
    pa.default_memory_pool().release_unused()
    analyzer = choose_analyzer(inputs) if problem.asks_for_analyzer else None
    if analyzer is not None:
        problem = problem.with_analyzer(analyzer.analyzer)
    dataset = Dataset(
        **{**vars(holdout), "problem": problem},
        ids=ids,
        inputs=inputs,
        labels=labels,
        content=content,
        bonds=split.bonds,
        judged=split.judged,
        folds=folds,
        counts=count_shared(problem, inputs, digests, kept),
        feedback_documents=split.feedback_documents,
        split=split.summary,
        feedback_left_out=split.feedback_left_out,
        analyzer=analyzer,
    )
    # A fit needs memory in other pieces than what was freed.
    pa.default_memory_pool().release_unused()
    logger = get_run_logger()
    logger.info(
        "Prepared snapshot %s, %s: %s, %s in the holdout; %s from feedback, %s.",
        snapshot.version,
        split.summary.title,
        counted(len(labels), "training document"),
        f"{len(holdout.holdout_labels):,}",
        f"{split.feedback_documents:,}",
        problem.feedback.meaning,
    )
    logger.info("The features of the training documents take %.1f MB.", dataset.features_mb)
    for note in split.summary.notes:
        logger.info(note)
    if analyzer is not None:
        logger.info("Counted %s, as %s.", analyzer.meaning, analyzer.reason)
    if split.feedback_left_out:
        logger.warning(
            "Left out %s from feedback: more than feedback.max_share %g of the training "
            "documents; perennial feedback %s lists who sends them.",
            counted(split.feedback_left_out, "document"),
            problem.feedback.max_share,
            problem.name,
        )
    return dataset


def hold_out(problem: Problem, snapshot: Snapshot) -> Holdout:
    """Read the holdout of a snapshot alone, to compare versions that are made already.

    Raises
    ------
    OutsideError
        If the snapshot cannot be read, or if a label is not on both sides.
    """
    return _holdout(snapshot, _split(problem, snapshot))


def read_judged(problem: Problem, snapshot: Snapshot) -> pa.Table:
    """Return all documents of a snapshot that models may be judged by, whichever side they are on.

    Raises
    ------
    OutsideError
        If the snapshot cannot be read, or if a label is not on both sides.
    """
    split = _split(problem, snapshot)
    return pa.concat_tables([split.training.filter(pa.array(split.judged)), split.holdout])


@dataclass(frozen=True, eq=False)
class _Split:
    """The documents of a snapshot, divided.

    Attributes
    ----------
    problem : Problem
        The problem, with the classes that are left of its rare labels.
    training, holdout : Table
        The two parts.
    judged : ndarray of bool, shape (n_training,)
        As in `Dataset`.
    bonds : Bonds
        As in `Dataset`.
    shown_feedback : Table
        As in `Holdout`.
    feedback_documents, feedback_left_out : int
        As in `Dataset`.
    summary : SplitSummary
        As in `Dataset`.
    """

    problem: Problem
    training: pa.Table
    holdout: pa.Table
    judged: NDArray[np.bool_]
    bonds: Bonds
    shown_feedback: pa.Table
    feedback_documents: int
    feedback_left_out: int
    summary: SplitSummary


def _split(problem: Problem, snapshot: Snapshot) -> _Split:
    store = SnapshotStore(problem.name, get_settings())
    documents = store.read(snapshot, near_copies=problem.split.near_copies == "together")
    feedback = from_feedback(documents)
    may_judge = ~feedback | problem.feedback.is_judged_on
    relabelled = relabel(documents, problem.rare_labels, tuple(problem.labels), may_judge)
    require_common_labels(problem, relabelled)
    documents, may_judge = relabelled.documents, may_judge[relabelled.kept]
    rule = SplitRule.of(problem)
    sides = split_documents(documents, rule, may_judge)
    known = problem.with_classes(relabelled.classes)
    require_both_sides(known, snapshot, Divided(documents, sides, may_judge))
    kept = within_share(documents.filter(pa.array(sides.training)), problem.feedback)
    learned = sides.training.copy()
    learned[sides.training] = kept
    training = documents.filter(pa.array(learned))
    return _Split(
        problem=known,
        training=training,
        holdout=documents.filter(pa.array(sides.holdout)),
        judged=may_judge[learned],
        bonds=_bonds(rule, sides.keys.filter(pa.array(learned)), training),
        shown_feedback=newest_feedback(documents.filter(pa.array(~may_judge))),
        feedback_documents=int(feedback.sum()),
        feedback_left_out=int((~kept).sum()),
        summary=SplitSummary.of(rule, sides, relabelled, problem.rare_labels),
    )


def _bonds(rule: SplitRule, keys: pa.Array, training: pa.Table) -> Bonds:
    times = microseconds(training[CREATED_AT]) if rule.by == "time" else None
    return Bonds(keys, times)


def _holdout(snapshot: Snapshot, split: _Split) -> Holdout:
    documents = split.holdout
    return Holdout(
        problem=split.problem,
        snapshot=snapshot,
        holdout_inputs=documents[inputs_of(split.problem).column.name].combine_chunks(),
        holdout_labels=_strings(documents[LABEL]),
        holdout_keys=documents.select([n for n in KEY_COLUMNS if n in documents.column_names]),
        holdout_traits=traits_table(documents),
        shown_feedback=split.shown_feedback,
    )


def _folds(problem: Problem, split: _Split, labels: NDArray[np.str_]) -> list[Fold]:
    if len(problem.candidates) == 1:
        return []
    folds = validation_folds(problem.validation, split.bonds, labels, split.judged)
    if not folds:
        raise OutsideError(
            f"None of {counted(len(labels), 'training document')} can choose between the "
            f"{len(problem.candidates)} candidates; load more documents, raise validation in "
            f"problems/{problem.name}.yaml, or write baseline: NAME there to fit one of them."
        )
    return folds


def traits_table(holdout: pa.Table) -> pa.Table:
    """Return what slices of documents are made of: ``length``, ``source`` and ``fields``."""
    name = TextInputs.column.name
    if name in holdout.column_names:
        lengths = pc.utf8_length(holdout[name]).cast(pa.int64())
    else:
        lengths = pa.nulls(len(holdout), pa.int64())
    return holdout.select([SOURCE, FIELDS]).append_column(LENGTH, lengths)


def _strings(column: pa.ChunkedArray) -> NDArray[np.str_]:
    coded = column.combine_chunks().dictionary_encode()
    names = np.asarray(coded.dictionary.to_pylist(), dtype=np.str_)
    found: NDArray[np.str_] = names[coded.indices.to_numpy(zero_copy_only=False)]
    return found
