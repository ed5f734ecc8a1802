"""Trials: what a retraining would make of some documents, without storing or fitting anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.config.problem import Problem
from perennial.documents.documents import from_feedback
from perennial.documents.judgement import JUDGED, Rules, judge
from perennial.documents.revisions import Found, to_revisions
from perennial.inputs.base import inputs_of
from perennial.inputs.identity import CURRENT_IDENTITY
from perennial.inputs.near_copies import with_representatives
from perennial.profile.estimate import Size
from perennial.reasons import Reason, ReasonCode
from perennial.splits.rare_labels import relabel
from perennial.splits.split import (
    CONTENT,
    LABEL,
    REPRESENTATIVE,
    SplitRule,
    split_documents,
    without_near_copies,
)
from perennial.splits.summary import SplitSummary

_BATCH = 2_000
_EXAMPLES = 3
_SPLIT = ("id", "created_at", "source", "label", "content", "sketch", "group")
# Characters of a word and the space behind it.
_WORD = 6


@dataclass(frozen=True)
class Held:
    """Documents that would be in quarantine for one reason.

    Attributes
    ----------
    reason : Reason
        What is wrong with them.
    count : int
        How many they are.
    examples : sequence of str
        What is wrong with some of them, each differently.
    """

    reason: Reason
    count: int
    examples: Sequence[str]


@dataclass(frozen=True, eq=False)
class Trial:
    """What a retraining would make of some documents.

    Attributes
    ----------
    documents, used, duplicates : int
        How many there are, how many would be used, and how many only repeat another one.
    held : sequence of Held
        Those that would be in quarantine, by reason, the most frequent first.
    labels : mapping of str to (int, int)
        Label -> its training documents and its holdout documents, of the labels that are used.
    split : SplitSummary or None
        How they would be divided; None if none can be used.
    obstacle : str or None
        Why a retraining would end without a model, as a sentence.
    size : Size
        How large what is learned from would be.
    """

    documents: int
    used: int
    duplicates: int
    held: Sequence[Held]
    labels: Mapping[str, tuple[int, int]]
    split: SplitSummary | None
    obstacle: str | None
    size: Size

    @property
    def quarantined(self) -> int:
        """How many documents would be in quarantine."""
        return sum(each.count for each in self.held)


def try_documents(documents: Iterable[Mapping[str, Any]], problem: Problem) -> Trial:
    """Return what a retraining would make of documents as they stand in MongoDB.

    Parameters
    ----------
    documents : iterable of mapping
        They are read once; of each no more is kept than decides.
    problem : Problem
        By which they are judged.
    """
    rules = Rules.of(problem)
    name = inputs_of(problem).column.name
    kept = list(dict.fromkeys([*JUDGED, "sketch", "group", *([name] if rules.need_texts else [])]))
    parts, characters = [], 0
    fields = inputs_of(problem).fields or {}
    distinct: dict[str, set[str]] = {
        field: set() for field, kind in fields.items() if kind == "category"
    }
    for batch in _batches(documents):
        rows = to_revisions([Found(each, stored=0) for each in batch], problem, CURRENT_IDENTITY)
        characters += pc.sum(rows["characters"]).as_py() or 0
        for field, values in distinct.items():
            values.update(str(each.get(field)) for each in batch)
        parts.append(rows.select(kept))
    empty = to_revisions([], problem, CURRENT_IDENTITY).select(kept)
    judged = judge(pa.concat_tables([empty, *parts]).combine_chunks(), rules)
    used = judged.filter(pc.equal(judged["status"], "used"))
    split, labels, obstacle = _divide(used, problem)
    width = len(fields) - len(distinct) + sum(map(len, distinct.values()))
    words = characters / _WORD / max(len(judged), 1)
    return Trial(
        documents=len(judged),
        used=len(used),
        duplicates=pc.sum(pc.equal(judged["status"], "duplicate")).as_py() or 0,
        held=_held(judged),
        labels=labels,
        split=split,
        obstacle=obstacle,
        size=Size(
            documents=0 if split is None else split.training,
            labels=max(len(labels), 1),
            words=words if problem.inputs is None else 0.0,
            columns=width,
            input_bytes=characters,
        ),
    )


def _batches(documents: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    iterator = iter(documents)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _held(judged: pa.Table) -> list[Held]:
    rows = judged.filter(pc.equal(judged["status"], "quarantined"))
    found = []
    grouped = rows.group_by(["code", "field"], use_threads=False).aggregate([("id", "count")])
    for row in grouped.to_pylist():
        same = pc.and_(pc.equal(rows["code"], row["code"]), pc.equal(rows["field"], row["field"]))
        examples = pc.unique(rows.filter(same)["reason"]).slice(0, _EXAMPLES).to_pylist()
        found.append(Held(Reason(ReasonCode(row["code"]), row["field"]), row["id_count"], examples))
    return sorted(found, key=lambda held: (-held.count, held.reason))


def _divide(
    used: pa.Table, problem: Problem
) -> tuple[SplitSummary | None, dict[str, tuple[int, int]], str | None]:
    if not len(used):
        return None, {}, "No document can be used, so there is nothing to learn from."
    documents = without_near_copies(with_representatives(used.select(_SPLIT)), problem)
    may_judge = ~from_feedback(documents) | problem.feedback.is_judged_on
    relabelled = relabel(documents, problem.rare_labels, tuple(problem.labels), may_judge)
    documents, rule = relabelled.documents, SplitRule.of(problem)
    sides = split_documents(documents, rule, may_judge[relabelled.kept])
    learned, judging = (_counts(documents, side) for side in (sides.training, sides.holdout))
    labels = {label: (learned.get(label, 0), judging.get(label, 0)) for label in relabelled.classes}
    missing = [label for label, both in labels.items() if min(both) == 0]
    obstacle = None
    if missing:
        obstacle = (
            f"The labels {', '.join(missing[:10])} would lack among training documents or holdout; "
            f"{_way_out(documents, problem)}."
        )
    elif len(labels) < 2:
        obstacle = "Fewer than two labels have documents enough to be learned."
    summary = SplitSummary.of(rule, sides, relabelled, problem.rare_labels)
    return summary, labels, obstacle


def _way_out(documents: pa.Table, problem: Problem) -> str:
    """Return what a person can do where a label lacks on one side."""
    if REPRESENTATIVE in documents.column_names and problem.split.near_copies == "together":
        copies = pc.sum(pc.not_equal(documents[REPRESENTATIVE], documents[CONTENT])).as_py() or 0
        if copies > len(documents) / 2:
            return (
                f"{copies:,} texts are near-copies of others, so write split: {{near_copies: "
                "ignore} if all are made of a few templates"
            )
    return "load more documents of them, or write rare_labels: {below: 10, do: drop}"


def _counts(documents: pa.Table, side: np.ndarray[Any, np.dtype[np.bool_]]) -> dict[str, int]:
    counted = documents[LABEL].filter(pa.array(side)).value_counts()
    return {each["values"]: each["counts"] for each in counted.to_pylist()}
