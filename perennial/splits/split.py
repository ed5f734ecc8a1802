"""The split: which documents of a snapshot are learned from, and which are judged on.

Everything here is a function of a table of documents and of a rule, so that what a version has
learned from can be told as long as its snapshot can be read. The columns of the table are ``id``,
``created_at``, ``label`` and ``content``; ``group``, the value that a group has in common, and
``representative``, the content that stands for a document and its near-copies, may be absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config.problem import Problem
from perennial.config.sections.split import SplitBy
from perennial.documents.documents import in_holdout
from perennial.hashing import digest, unit

Masks = NDArray[np.bool_]
Side = Literal["training", "holdout"]

CREATED_AT, LABEL, CONTENT = "created_at", "label", "content"
GROUP: Final = "group"
REPRESENTATIVE: Final = "representative"
# What tells whether a version has learned from a document, as far as a snapshot has it.
KEY_COLUMNS = ("id", "source", CREATED_AT, LABEL, CONTENT, GROUP, REPRESENTATIVE)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# To keep a label on both sides the cut of a split by time moves so far that the holdout has at most
# this share of the documents, and at least this part of what the problem asks for.
_MOST, _LEAST_PART = 0.5, 0.25


@dataclass(frozen=True)
class SplitRule:
    """What decides on which side a document is.

    Attributes
    ----------
    by : {"content", "document", "group", "time"}
        What documents have in common that are on one side.
    share : float
        Share of the holdout.
    field : str or None
        The field of the groups.
    since : datetime or None
        By time: where the holdout begins, if not with its share.
    has_copies : bool
        Whether equal inputs are copies of each other, which must not be on both sides; see
        `has_copies`.
    """

    by: SplitBy = "content"
    share: float = 0.2
    field: str | None = None
    since: datetime | None = None
    has_copies: bool = True

    @classmethod
    def of(cls, problem: Problem) -> SplitRule:
        """Return the rule of a problem's file."""
        split = problem.split
        copies = has_copies(problem, split.by)
        return cls(split.by, problem.holdout, split.field, split.since, copies)


def has_copies(problem: Problem, by: SplitBy) -> bool:
    """Return whether equal inputs are copies of each other: texts, and records by content.

    Records that a file divides by what they are about, or by when they came, are different cases.
    """
    return problem.inputs is None or by == "content"


@dataclass(frozen=True, eq=False)
class Sides:
    """The sides of a table's documents; a document that is on neither is set aside.

    Attributes
    ----------
    training, holdout : ndarray of bool, shape (n_documents,)
        The two sides.
    keys : Array of bytes, shape (n_documents,)
        What documents have in common that are on one side.
    cut : datetime or None
        By time: the holdout was created after it.
    added : mapping of str to {"training", "holdout"}
        Label that would have lacked on a side -> that side.
    copies, feedback : int
        How many documents are set aside: copies of training documents, and documents that may not
        be judged on among those of the holdout.
    """

    training: Masks
    holdout: Masks
    keys: pa.Array
    cut: datetime | None = None
    added: Mapping[str, Side] = field(default_factory=lambda: MappingProxyType({}))
    copies: int = 0
    feedback: int = 0


def split_documents(documents: pa.Table, rule: SplitRule, may_judge: Masks | None = None) -> Sides:
    """Divide documents into training and holdout.

    A hash of the content, the id or the group decides, which never changes; by time, the newest
    documents are the holdout. A label that would lack on a side is added to it, if it has documents
    on the other one that can be spared: whole groups, and all copies of an input, so that nothing
    is on both.

    Parameters
    ----------
    documents : Table of n_documents rows
        See the module.
    rule : SplitRule
        What decides.
    may_judge : ndarray of bool, shape (n_documents,), optional
        Which documents may be in the holdout; all by default.
    """
    if may_judge is None:
        may_judge = np.ones(len(documents), np.bool_)
    keys = side_keys(documents, rule.by, has_copies=rule.has_copies)
    if rule.by == "time":
        return _by_time(documents, rule, keys, may_judge)
    return _by_key(documents, rule, keys, may_judge)


def side_keys(documents: pa.Table, by: SplitBy, *, has_copies: bool = True) -> pa.Array:
    """Return what documents have in common that are on one side, as digests of equal length."""
    if has_copies:
        keys = alike(documents)
    else:
        ids = documents["id"].to_pylist()
        keys = pa.array([digest(b"document\0" + key.encode()) for key in ids], pa.binary())
    if by != "group" or GROUP not in documents.column_names:
        return keys
    groups = documents[GROUP].combine_chunks()
    coded = groups.dictionary_encode()
    names = coded.dictionary.to_pylist()
    digests = pa.array([digest(b"group\0" + name.encode()) for name in names], keys.type)
    return pc.coalesce(digests.take(coded.indices), keys)


def without_near_copies(documents: pa.Table, problem: Problem) -> pa.Table:
    """Return documents of which each stands for itself, if the problem ignores near-copies."""
    if problem.split.near_copies == "together" or REPRESENTATIVE not in documents.column_names:
        return documents
    return documents.drop_columns([REPRESENTATIVE])


def alike(documents: pa.Table) -> pa.Array:
    """Return what copies and near-copies have in common."""
    content = documents[CONTENT].combine_chunks().cast(pa.binary())
    if REPRESENTATIVE not in documents.column_names:
        return content
    return pc.coalesce(documents[REPRESENTATIVE].combine_chunks().cast(pa.binary()), content)


def microseconds(times: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    """Return times as whole numbers that can be compared."""
    found = times.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return np.asarray(found.to_numpy(), np.int64)


def contained(values: pa.Array | pa.ChunkedArray, known: pa.Array | pa.ChunkedArray) -> Masks:
    """Return which values are among others."""
    if isinstance(known, pa.ChunkedArray):
        known = known.combine_chunks()
    found = pc.is_in(values, value_set=known, skip_nulls=True)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)


def _by_key(documents: pa.Table, rule: SplitRule, keys: pa.Array, may_judge: Masks) -> Sides:
    held = in_holdout(keys, rule.share)
    # An input that several groups have may be set aside: it keeps no label on a side.
    copies = alike(documents) if rule.by == "group" and rule.has_copies else None
    lone = np.ones(len(keys), np.bool_) if copies is None else _lone(copies, keys)
    keeper = _Keeper(documents, keys, held, may_judge, lone)
    added = keeper.add_lacking()
    held = keeper.held
    holdout, waiting = held & may_judge, held & ~may_judge
    if waiting.any():
        waiting &= contained(keys, keys.filter(pa.array(holdout)))
    training = ~holdout & ~waiting
    known = np.zeros(len(keys), np.bool_)
    if copies is not None:
        known = holdout & contained(copies, copies.filter(pa.array(training)))
    return Sides(
        training=training,
        holdout=holdout & ~known,
        keys=keys,
        added=added,
        copies=int(known.sum()),
        feedback=int(waiting.sum()),
    )


def _lone(copies: pa.Array, keys: pa.Array) -> Masks:
    """Return which documents have no copy with another key."""
    inputs, owners = _codes(copies), _codes(keys)
    first, last = np.full(len(inputs) + 1, len(inputs)), np.full(len(inputs) + 1, -1)
    np.minimum.at(first, inputs, owners)
    np.maximum.at(last, inputs, owners)
    found: Masks = first[inputs] == last[inputs]
    return found


def _codes(values: pa.Array) -> NDArray[np.int64]:
    coded = values.dictionary_encode().indices
    return np.asarray(coded.to_numpy(zero_copy_only=False), np.int64)


class _Keeper:
    """Keeps every label on both sides, by moving as few keys as possible."""

    def __init__(
        self, documents: pa.Table, keys: pa.Array, held: Masks, may_judge: Masks, counts: Masks
    ) -> None:
        coded = documents[LABEL].combine_chunks().dictionary_encode()
        self.held = held.copy()
        self._names = coded.dictionary.to_pylist()
        self._labels = np.asarray(coded.indices.to_numpy(zero_copy_only=False), np.int64)
        self._keys, self._may_judge, self._counts = keys, may_judge & counts, counts

    def add_lacking(self) -> dict[str, Side]:
        """Move keys until no label lacks on a side that could have it; return what was added."""
        added: dict[str, Side] = {}
        sides: tuple[Side, ...] = ("holdout", "training")
        for side in sides:
            lacking = np.flatnonzero(self._documents(side) == 0)
            for label in sorted(lacking.tolist(), key=self._names.__getitem__):
                if not self._documents(side)[label] and self._add(label, side):
                    added[self._names[label]] = side
        return added

    def _rows(self, side: Side) -> Masks:
        if side == "holdout":
            return self.held & self._may_judge
        return self._counts & ~(self.held & self._may_judge)

    def _documents(self, side: Side) -> NDArray[np.int64]:
        """Return the number of documents with each label on a side."""
        return np.bincount(self._labels[self._rows(side)], minlength=len(self._names))

    def _add(self, label: int, side: Side) -> bool:
        """Move one key with a label to a side, if no label is lost on the other side by that."""
        other: Side = "training" if side == "holdout" else "holdout"
        there = self._documents(other)
        movable = self._rows(other) & self._may_judge
        rows = np.flatnonzero(movable & (self._labels == label))
        places = unit(self._keys.take(pa.array(rows)), 0)
        # The nearest ones to the border: a larger or a smaller holdout takes the same ones first.
        for row in rows[np.argsort(places if side == "holdout" else -places, kind="stable")]:
            same = self._codes == self._codes[row]
            leaving = np.bincount(self._labels[movable & same], minlength=len(self._names))
            if (there[leaving > 0] > leaving[leaving > 0]).all():
                self.held[same] = side == "holdout"
                return True
        return False

    @cached_property
    def _codes(self) -> NDArray[np.int64]:
        return _codes(self._keys)


def _by_time(documents: pa.Table, rule: SplitRule, keys: pa.Array, may_judge: Masks) -> Sides:
    times = microseconds(documents[CREATED_AT])
    labels = documents[LABEL].combine_chunks().dictionary_encode()
    codes = np.asarray(labels.indices.to_numpy(zero_copy_only=False), np.int64)
    added: dict[str, Side] = {}
    if rule.since is not None:
        cut = (rule.since - _EPOCH) // timedelta(microseconds=1)
    else:
        # A copy of an earlier document is set aside if that is learned from: it says nothing.
        counts = may_judge & _first(keys, times)
        cut, lacking = _cut(times[counts], codes[counts], rule.share)
        names = labels.dictionary.to_pylist()
        added = {names[label]: side for label, side in lacking.items()}
    late = times > cut
    training, holdout = ~late, late & may_judge
    known = holdout & contained(keys, keys.filter(pa.array(training)))
    return Sides(
        training=training,
        holdout=holdout & ~known,
        keys=keys,
        cut=_EPOCH + timedelta(microseconds=int(cut)),
        added=added,
        copies=int(known.sum()),
        feedback=int((late & ~may_judge).sum()),
    )


def _first(keys: pa.Array, times: NDArray[np.int64]) -> Masks:
    """Return which documents are the oldest ones with their key."""
    codes = _codes(keys)
    oldest = np.full(len(codes) + 1, np.iinfo(np.int64).max)
    np.minimum.at(oldest, codes, times)
    found: Masks = times == oldest[codes]
    return found


def newest_cut(times: NDArray[np.int64], share: float) -> int:
    """Return the time after which a share of the documents was created, or somewhat fewer.

    Documents of one moment are on one side, so that there may be none after it.
    """
    if not len(times):
        return 0
    ordered = np.sort(times)
    wanted = max(1, round(share * len(ordered)))
    return int(ordered[max(len(ordered) - wanted - 1, 0)])


def _cut(
    times: NDArray[np.int64], labels: NDArray[np.int64], share: float
) -> tuple[int, dict[int, Side]]:
    """Return where the holdout begins, and which labels it has moved for, to which side.

    With every label on both sides, if a cut near the one of the share does that.
    """
    asked = newest_cut(times, share)
    if not len(times):
        return asked, {}
    size = int(labels.max()) + 1
    oldest, newest = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
    np.minimum.at(oldest, labels, times)
    np.maximum.at(newest, labels, times)
    # A label of one document, or of one moment, cannot be on both sides.
    divisible = np.flatnonzero(oldest < newest)
    if not len(divisible):
        return asked, {}
    first, last = int(oldest[divisible].max()), int(newest[divisible].min())
    if first <= asked < last:
        return asked, {}
    if first >= last:
        return asked, {}
    ordered = np.sort(times)
    cut = first if asked < first else int(ordered[np.searchsorted(ordered, last) - 1])
    held = float((times > cut).mean())
    if not _LEAST_PART * share <= held <= max(_MOST, share):
        return asked, {}
    moved: dict[int, Side] = {int(each): "training" for each in divisible if oldest[each] > asked}
    return cut, moved | {int(each): "holdout" for each in divisible if newest[each] <= asked}
