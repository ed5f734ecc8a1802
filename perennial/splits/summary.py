"""Summary of a split, in figures and in sentences: for the log, the report and the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from perennial.commands import counted
from perennial.config.sections.split import RareLabels
from perennial.documents.agreement import best_accuracy
from perennial.splits.rare_labels import Relabelled
from perennial.splits.split import (
    CONTENT,
    GROUP,
    LABEL,
    REPRESENTATIVE,
    Side,
    Sides,
    SplitRule,
)

# Labels in one sentence; the run has all.
_SHOWN = 10


@dataclass(frozen=True)
class SplitSummary:
    """How the documents of a snapshot were divided.

    Attributes
    ----------
    rule : SplitRule
        What decided.
    training, holdout : int
        Documents on each side.
    cut : datetime or None
        By time: the holdout was created after it.
    groups : tuple of int and int, or None
        By group: groups among the training documents and in the holdout.
    ungrouped : int
        By group: documents without the field.
    added : mapping of str to {"training", "holdout"}
        Label that would have lacked on a side -> that side.
    copies, feedback : int
        Documents that are set aside: see `Sides`.
    policy : RareLabels or None
        What the problem asks for rare labels.
    rare : mapping of str to int
        Rare label -> its documents.
    dropped : int
        Documents that are left out because of their label.
    near_copies : int
        Documents that resemble an earlier one, on whose side they are.
    best_accuracy : float
        What no model can exceed on the holdout, since equal records have different labels there;
        1 if they have not.
    equal_records : tuple of int and int, or None
        By content: documents, and their different inputs, where these are few.
    """

    rule: SplitRule
    training: int
    holdout: int
    cut: datetime | None
    groups: tuple[int, int] | None
    ungrouped: int
    added: Mapping[str, Side]
    copies: int
    feedback: int
    policy: RareLabels | None
    rare: Mapping[str, int]
    dropped: int
    near_copies: int
    best_accuracy: float = 1.0
    equal_records: tuple[int, int] | None = None

    @classmethod
    def of(
        cls, rule: SplitRule, sides: Sides, relabelled: Relabelled, policy: RareLabels | None
    ) -> SplitSummary:
        """Return the summary of a split."""
        documents, groups, ungrouped = relabelled.documents, None, 0
        equal = (len(documents), int(pc.count_distinct(documents[CONTENT]).as_py()))
        held = documents.filter(pa.array(sides.holdout))
        if rule.by == "group":
            parts = [documents.filter(pa.array(side)) for side in (sides.training, sides.holdout)]
            groups = (_groups(parts[0]), _groups(parts[1]))
            ungrouped = len(documents)
            if GROUP in documents.column_names:
                ungrouped = documents[GROUP].null_count
        return cls(
            rule=rule,
            training=int(sides.training.sum()),
            holdout=int(sides.holdout.sum()),
            cut=sides.cut,
            groups=groups,
            ungrouped=ungrouped,
            added=dict(sides.added),
            copies=sides.copies,
            feedback=sides.feedback,
            policy=policy,
            rare=dict(relabelled.rare),
            dropped=relabelled.dropped,
            near_copies=_near_copies(documents),
            best_accuracy=best_accuracy(held[CONTENT], held[LABEL]),
            equal_records=equal
            if rule.by == "content" and equal[0] >= 2 * max(equal[1], 1)
            else None,
        )

    @property
    def title(self) -> str:
        """The rule in a few words."""
        if self.cut is not None:
            return f"split by time, the holdout was created after {self.cut:%Y-%m-%d %H:%M:%S} UTC"
        if self.rule.by == "group":
            return f"split by group ({self.rule.field})"
        return f"split by {self.rule.by}"

    @property
    def notes(self) -> list[str]:
        """What a person should know besides, in sentences."""
        counts = [f"{what[0].upper()}{what[1:]}: {count:,}." for what, count in self.counts]
        return [*counts, *self.remarks]

    @property
    def counts(self) -> list[tuple[str, int]]:
        """Documents that a person should know of, those of which there are any."""
        found = [
            ("set aside as copies of training documents", self.copies),
            ("near-copies of earlier documents, each on the side of the first", self.near_copies),
            ("set aside, feedback that belongs to the holdout, where it may not be", self.feedback),
        ]
        return [(what, count) for what, count in found if count]

    @property
    def remarks(self) -> list[str]:
        """What a person should know besides the counts, in sentences."""
        found = []
        if self.groups is not None:
            training, holdout = self.groups
            found.append(
                f"Groups that are learned from: {training:,}, held out: {holdout:,}; documents "
                f"without {self.rule.field}: {self.ungrouped:,}, each a group of its own."
            )
        sides: tuple[Side, ...] = ("training", "holdout")
        for side in sides:
            labels = [label for label, where in self.added.items() if where == side]
            if labels:
                found.append(f"{_ADDED[side]}: {join_some(labels)}.")
        return [*found, *self._about_equal_inputs(), *self._about_rare_labels()]

    def _about_equal_inputs(self) -> Iterator[str]:
        if self.equal_records is not None:
            documents, different = self.equal_records
            yield (
                f"The {documents:,} documents have only "
                f"{counted(different, 'different input')}, and what is held out of these is never "
                "learned from. If equal records are different cases, write split: {by: document}."
            )
        if self.best_accuracy < 1:
            yield (
                f"Equal inputs have different labels: on the holdout no model can exceed an "
                f"accuracy of {self.best_accuracy:.4f}."
            )

    def _about_rare_labels(self) -> list[str]:
        if not self.rare or self.policy is None:
            return []
        named = join_some([f"{label} ({count:,})" for label, count in self.rare.items()])
        few = f"Labels with fewer than {self.policy.below:,} documents"
        if self.policy.do == "merge":
            found = [f"{few} are merged into {self.policy.into}: {named}."]
            if self.dropped:
                left_out = counted(self.dropped, "of their documents is", "of their documents are")
                found.append(f"{left_out} left out, too few to be a label.")
            return found
        return [f"{few} are dropped: {named}; documents left out: {self.dropped:,}."]

    @property
    def params(self) -> dict[str, object]:
        """The rule as parameters of a run."""
        found: dict[str, object] = {"split.by": self.rule.by, "split.share": self.rule.share}
        if self.rule.field is not None:
            found["split.field"] = self.rule.field
        if self.cut is not None:
            found["split.cut"] = self.cut.isoformat()
        for side in ("training", "holdout"):
            labels = [label for label, where in self.added.items() if where == side]
            if labels:
                found[f"split.added_to_{side}"] = join_some(labels)
        if self.policy is not None:
            found["rare_labels.do"] = self.policy.do
            found["rare_labels.below"] = self.policy.below
            if self.rare:
                found["rare_labels.found"] = join_some(list(self.rare))
        return found

    @property
    def figures(self) -> dict[str, float]:
        """The counts as metrics of a run."""
        found: dict[str, float] = {
            "split.training": self.training,
            "split.holdout": self.holdout,
            "split.holdout.best_accuracy": self.best_accuracy,
            "split.copies_set_aside": self.copies,
            "split.feedback_set_aside": self.feedback,
            "split.near_copies": self.near_copies,
        }
        if self.groups is not None:
            found["split.groups.training"], found["split.groups.holdout"] = self.groups
        if self.policy is not None:
            found["rare_labels.labels"] = len(self.rare)
            found["rare_labels.documents"] = sum(self.rare.values())
            found["rare_labels.dropped"] = self.dropped
        return found


_ADDED: dict[Side, str] = {
    "training": "Labels added to the training documents, which would have had none of them",
    "holdout": "Labels added to the holdout, which would have had none of them",
}


def _groups(documents: pa.Table) -> int:
    if GROUP not in documents.column_names:
        return 0
    return int(pc.count_distinct(documents[GROUP]).as_py())


def join_some(names: list[str]) -> str:
    """Return names as a list in a sentence, the first ones if there are many."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _near_copies(documents: pa.Table) -> int:
    if REPRESENTATIVE not in documents.column_names:
        return 0
    return int(pc.sum(pc.not_equal(documents[REPRESENTATIVE], documents[CONTENT])).as_py() or 0)
