"""Labels: what a split cannot keep on both sides, and what a person can do about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.commands import command, counted
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.splits.rare_labels import LEAST, Relabelled
from perennial.splits.split import CREATED_AT, LABEL, Sides
from perennial.splits.summary import join_some
from perennial.stores.snapshots.store import Snapshot


@dataclass(frozen=True, eq=False)
class Divided:
    """Documents and their sides.

    Attributes
    ----------
    documents : Table of n_documents rows
        The documents with their labels.
    sides : Sides
        Their sides.
    may_judge : ndarray of bool, shape (n_documents,)
        Which of them may be in the holdout.
    """

    documents: pa.Table
    sides: Sides
    may_judge: NDArray[np.bool_]

    def labels(self, rows: NDArray[np.bool_]) -> set[str]:
        """Return the labels of some documents."""
        return set(self.documents[LABEL].filter(pa.array(rows)).unique().to_pylist())


def require_common_labels(problem: Problem, relabelled: Relabelled) -> None:
    """Raise if the problem refuses rare labels and has some, or if less than two labels are left.

    Raises
    ------
    OutsideError
        Which names the labels with their counts.
    """
    policy = problem.rare_labels
    if policy is None:
        return
    named = join_some([f"{label} ({count:,})" for label, count in relabelled.rare.items()])
    if policy.do == "refuse" and relabelled.rare:
        raise OutsideError(
            f"Labels of {problem.name!r} with fewer than {policy.below:,} documents: {named}; load "
            f"more of them, or write rare_labels: {{below: {policy.below}, do: drop}} in "
            f"problems/{problem.name}.yaml (or do: merge, into: other)."
        )
    if len(relabelled.classes) < LEAST:
        raise OutsideError(
            f"Without its rare labels {problem.name!r} has fewer than two: fewer than "
            f"{policy.below:,} documents have {named}; lower rare_labels.below in "
            f"problems/{problem.name}.yaml, or load more documents."
        )


def require_both_sides(problem: Problem, snapshot: Snapshot, divided: Divided) -> None:
    """Raise unless training documents and holdout have documents of every class.

    Raises
    ------
    OutsideError
        Which names the labels that lack, why the split cannot have them on both sides, and the key
        to write.
    """
    sides = divided.sides
    for name, rows in (
        ("training document", sides.training),
        ("holdout document", sides.holdout),
    ):
        missing = sorted(set(problem.classes) - divided.labels(rows))
        if missing:
            lacking = (
                f"Among the {counted(int(rows.sum()), name)} of snapshot {snapshot.version} there "
                f"is no document labelled {join_some(missing)}"
            )
            why = _explain(problem, divided, missing)
            raise OutsideError(f"{lacking}{why}.{_about_quarantine(problem, snapshot)}")


def _about_quarantine(problem: Problem, snapshot: Snapshot) -> str:
    """Return the sentence that says that documents which lack may be in quarantine, if any are."""
    held, live = sum(snapshot.accounts.in_quarantine.values()), snapshot.accounts.live
    if not held:
        return ""
    shown = command("quarantine", problem.name)
    return f" In quarantine are {held:,} of {counted(live, 'document')}; `{shown}` says why."


def _explain(problem: Problem, divided: Divided, missing: list[str]) -> str:
    """Return why labels lack on a side, and what to do, as the rest of a sentence."""
    file = f"problems/{problem.name}.yaml"
    is_missing = pc.is_in(divided.documents[LABEL], value_set=pa.array(missing)).to_numpy()
    feedback = int((is_missing & ~divided.may_judge).sum())
    judged = divided.documents.filter(pa.array(is_missing & divided.may_judge))
    counts = dict.fromkeys(missing, 0)
    counts |= {c["values"]: c["counts"] for c in judged[LABEL].value_counts().to_pylist()}
    if feedback:
        return (
            f", as {feedback:,} with such a label are from feedback, which is learned from but not "
            "judged on; load labelled documents into the collection, or write feedback: {use: "
            f"holdout}} in {file} if you trust whoever gives feedback"
        )
    if not any(counts.values()):
        return (
            f"; check labels and source.query in {file}, load more documents, or write "
            f"{_drop(problem, counts)} there"
        )
    numbers = join_some([f"{label} has {count:,}" for label, count in counts.items()])
    split = problem.split
    if split.by == "time" and max(counts.values()) >= LEAST:
        cut, newest = divided.sides.cut, pc.max(judged[CREATED_AT]).as_py()
        key = "set split.since" if split.since is None else "move split.since"
        return (
            f": {numbers}, the newest of {newest:%Y-%m-%d %H:%M}, and the split is at "
            f"{cut:%Y-%m-%d %H:%M}; {key} in {file} to where every label has documents before and "
            f"after it, load more documents, or {_or_drop(problem, counts)} there"
        )
    if split.by == "group" and max(counts.values()) >= LEAST:
        return (
            f": {numbers}, all in one group or in groups that other labels need "
            f"(split.field {split.field}); load more documents, or "
            f"{_or_drop(problem, counts)} in {file}"
        )
    if problem.split.near_copies == "together" and max(counts.values()) >= LEAST:
        return (
            f": {numbers}, all of them near-copies of one another, which stay on one side; write "
            f"split: {{near_copies: ignore}} in {file} if each is a case of its own, load "
            f"documents that differ more, or write {_drop(problem, counts)} there"
        )
    return (
        f": {numbers}, and a label needs {LEAST} different ones, one to learn from and one to be "
        f"judged on; load more documents, or write {_drop(problem, counts)} in {file}"
    )


def _or_drop(problem: Problem, counts: dict[str, int]) -> str:
    """Return what to write so that labels which lack are left out, or else another split."""
    if len(problem.classes) - len(counts) < LEAST:
        # To leave out labels would leave nothing to tell apart.
        return "divide by content by removing split"
    return f"write {_drop(problem, counts)}"


def _drop(problem: Problem, counts: dict[str, int]) -> str:
    """Return the key that leaves out labels with so few documents."""
    below = max(LEAST, max(counts.values()) + 1)
    if problem.rare_labels is not None:
        return f"rare_labels.below: {below}"
    return f"rare_labels: {{below: {below}, do: drop}}"
