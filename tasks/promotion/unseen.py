"""Unseen: which documents a version has not learned from."""

from __future__ import annotations

from functools import cached_property
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config.problem import Problem
from perennial.config.sections.split import RareLabels, SplitBy
from perennial.documents.documents import from_feedback, in_holdout
from perennial.errors import OutsideError
from perennial.registry.client import ModelVersion
from perennial.settings import get_settings
from perennial.splits.rare_labels import relabel
from perennial.splits.split import (
    CONTENT,
    CREATED_AT,
    GROUP,
    LABEL,
    REPRESENTATIVE,
    SplitRule,
    alike,
    contained,
    has_copies,
    microseconds,
    side_keys,
    split_documents,
)
from perennial.stores.snapshots.store import Snapshot, SnapshotStore

Masks = NDArray[np.bool_]


def unseen_by(
    problem: Problem, version: ModelVersion, snapshot: Snapshot, documents: pa.Table
) -> Masks:
    """Return the documents on which a version can be compared with another one.

    The problem's file may have changed since the version was made: the split, its share or field,
    the use of feedback, the rule for rare labels. So the version's own snapshot is divided once
    more by the rules of that time. What it has learned from then is taken out: the same document,
    also with another content; another one with the same content; near-copies; if either split is by
    group, documents of the same group; and if that of the problem is by time, everything that is
    not newer than the newest document it has learned from. Where equal records are different cases,
    those of learned ones are not taken out.

    If that snapshot cannot be read any more, everything counts as learned from that the version
    could have learned from by its rules: rather too few documents are compared than one that it
    knows.

    Parameters
    ----------
    problem : Problem
        The problem by whose split the documents are judged on.
    version : ModelVersion
        The registered version.
    snapshot : Snapshot
        Snapshot of the documents.
    documents : Table of n_documents rows
        The documents, with those of `KEY_COLUMNS` that the snapshot has.
    """
    learned = _Learned(problem, version, snapshot)
    by = problem.split.by
    unseen = learned.unseen(documents, by_group=by == "group", copies=has_copies(problem, by))
    if problem.split.by == "time" and len(learned.documents):
        newest = microseconds(learned.documents[CREATED_AT]).max()
        unseen &= microseconds(documents[CREATED_AT]) > newest
    return unseen


def held_out_by(
    problem: Problem, version: ModelVersion, snapshot: Snapshot, documents: pa.Table
) -> Masks:
    """Return the documents that a version has not learned from, by its own split alone.

    The parameters are those of `unseen_by`.
    """
    learned = _Learned(problem, version, snapshot)
    by: SplitBy = version.split  # type: ignore[assignment]
    return learned.unseen(documents, copies=has_copies(problem, by))


def feedback_learned_by(problem: Problem, version: ModelVersion, snapshot: Snapshot) -> pa.Array:
    """Return the content hashes of the feedback that a version has learned from.

    The parameters are those of `unseen_by`.
    """
    learned = _Learned(problem, version, snapshot).documents
    return learned[CONTENT].filter(pa.array(from_feedback(learned))).combine_chunks()


def learned_by(problem: Problem, version: ModelVersion, snapshot: Snapshot) -> pa.Array:
    """Return the ids of the documents that a version has learned from.

    The parameters are those of `unseen_by`.
    """
    return _Learned(problem, version, snapshot).documents["id"].combine_chunks()


def arrived_after(
    problem: Problem, version: ModelVersion, snapshot: Snapshot, documents: pa.Table
) -> Masks:
    """Return the documents that were not in the snapshot of a version, nor anything like them.

    Nothing has arrived if that snapshot cannot be read any more. The parameters are those of
    `unseen_by`.
    """
    known = _Known(problem, version, snapshot)
    return known.unseen(documents, copies=has_copies(problem, problem.split.by))


def has_newer_documents(problem: Problem, version: ModelVersion, snapshot: Snapshot) -> bool:
    """Return whether a later snapshot has documents, or labels of them, that a version's has not.

    What else a snapshot keeps of its documents may change without any document that is new.

    Parameters
    ----------
    problem : Problem
        The problem.
    version : ModelVersion
        The registered version.
    snapshot : Snapshot
        The later snapshot.
    """
    if version.snapshot is None or version.snapshot[0] >= snapshot.version:
        return False
    known, by_id = _Known(problem, version, snapshot), problem.split.by == "document"
    said = [_said(each, by_id=by_id) for each in (known.today, known.documents)]
    return bool((~contained(*said)).any())


def _said(documents: pa.Table, *, by_id: bool) -> pa.Array:
    """Return what documents say, with their labels: their content, or that of a case of its own."""
    columns = [documents[CONTENT], documents[LABEL], *([documents["id"]] if by_id else [])]
    parts = [column.combine_chunks().cast(pa.binary()) for column in columns]
    return pc.binary_join_element_wise(*parts, b" ")


class _Learned:
    """What a version has learned from, as far as snapshots tell."""

    def __init__(self, problem: Problem, version: ModelVersion, snapshot: Snapshot) -> None:
        self._store = SnapshotStore(problem.name, get_settings())
        self._problem, self._snapshot, self._version = problem, snapshot, version
        self._by_group = version.split == "group"
        then = _snapshot_of(version, self._store)
        keys = None if then is None else self._read_keys(then)
        if keys is not None and then == snapshot:
            # Read once: it is the same snapshot.
            self.today = keys
        self.documents = self._find(keys)

    def unseen(self, documents: pa.Table, *, copies: bool, by_group: bool = False) -> Masks:
        """Return which documents are not among them, nor alike, nor of one of their groups."""
        seen = contained(documents["id"], self.documents["id"])
        if copies:
            seen |= contained(documents[CONTENT], self.documents[CONTENT])
        columns = {GROUP} if by_group or self._by_group else set()
        if not (columns | ({REPRESENTATIVE} if copies else set())) & set(documents.column_names):
            return ~seen
        # What the snapshot of that time did not say of a document, that of today may say.
        today = self.today
        same = today.filter(pa.array(contained(today["id"], self.documents["id"])))
        if copies:
            known_today = today.filter(pa.array(_is_known(today, self.documents)))
            for known in (known_today, self.documents, same):
                seen |= contained(alike(documents), alike(known))
        for known in (self.documents, same):
            if columns & set(documents.column_names) & set(known.column_names):
                seen |= contained(documents[GROUP], known[GROUP])
        return ~seen

    @cached_property
    def today(self) -> pa.Table:
        return self._read_keys(self._snapshot)

    def _read_keys(self, snapshot: Snapshot) -> pa.Table:
        together = self._problem.split.near_copies == "together"
        return self._store.read_keys(snapshot, near_copies=together)

    def _find(self, then: pa.Table | None) -> pa.Table:
        """Return what it has learned from; `then` are the documents of its snapshot."""
        found = None if then is None else _learned(self._problem, self._version, then)
        if found is not None:
            return found
        return self.today.filter(pa.array(~self._by_rule(self._problem, self._version)))

    def _by_rule(self, problem: Problem, version: ModelVersion) -> Masks:
        """Return which documents of today a version cannot have learned from, by its rules."""
        documents, nothing = self.today, np.zeros(len(self.today), np.bool_)
        if version.split == "time" and version.split_cut is not None:
            cut = pa.scalar(version.split_cut, pa.timestamp("us", "UTC"))
            found: Masks = pc.greater(documents[CREATED_AT], cut).to_numpy()
            return found
        if version.split == "group":
            same = problem.split.field == version.split_field and GROUP in documents.column_names
            copies = has_copies(problem, "group")
            keys = side_keys(documents, "group", has_copies=copies) if same else None
        else:
            copies, known = version.split == "content", version.split in ("content", "document")
            keys = side_keys(documents, "content", has_copies=copies) if known else None
        if keys is None:
            return nothing
        unseen = in_holdout(keys, version.holdout or problem.holdout)
        if version.learned_all_feedback:
            feedback = self._store.every_feedback_content(self._snapshot)
            unseen &= ~contained(documents[CONTENT], feedback)
        return unseen


class _Known(_Learned):
    """Everything that was in the snapshot of a version, learned from or not."""

    def _find(self, then: pa.Table | None) -> pa.Table:
        return self.today if then is None else then


def _snapshot_of(version: ModelVersion, store: SnapshotStore) -> Snapshot | None:
    """Return the snapshot of a version, or None if it is not there as it was."""
    if version.snapshot is None:
        return None
    number, digest = version.snapshot
    try:
        found = store.find(number)
    except OutsideError:
        return None
    return found if found.digest == digest else None


def _learned(problem: Problem, version: ModelVersion, documents: pa.Table) -> pa.Table | None:
    """Return the documents that a version has learned from; None if that cannot be told."""
    rule = _rule_of(problem, version)
    if rule is None or (rule.by == "group" and GROUP not in documents.column_names):
        return None
    feedback = from_feedback(documents)
    may_judge = ~feedback if version.learned_all_feedback else np.ones(len(documents), np.bool_)
    policy = version.rare_labels(RareLabels)
    labels = sorted(documents[LABEL].unique().to_pylist())
    relabelled = relabel(documents, policy, labels, may_judge)
    sides = split_documents(relabelled.documents, rule, may_judge[relabelled.kept])
    return relabelled.documents.filter(pa.array(sides.training))


def _rule_of(problem: Problem, version: ModelVersion) -> SplitRule | None:
    """Return the rule by which a version's snapshot was divided; None for one nobody knows."""
    by, share = version.split, version.holdout or problem.holdout
    if by not in get_args(SplitBy) or (by == "time" and version.split_cut is None):
        return None
    known: SplitBy = by  # type: ignore[assignment]
    copies = has_copies(problem, known)
    return SplitRule(known, share, version.split_field, version.split_cut, copies)


def _is_known(documents: pa.Table, learned: pa.Table) -> Masks:
    """Return which documents are among those that were learned from, by id or by content."""
    same = contained(documents["id"], learned["id"])
    return same | contained(documents[CONTENT], learned[CONTENT])
