"""Holdout size: how many documents a comparison needs, in all and of each label."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from perennial.commands import counted
from perennial.gates.base import Evidence, Gate, GateResult
from perennial.schema import Schema


class HoldoutSize(Schema):
    """How many holdout documents a verdict needs."""

    documents: int = Field(ge=1, description="the least number of documents, whatever their label")
    of_each_label: int = Field(
        default=1, ge=1, description="the least number of documents with each label"
    )


class HoldoutSizeKeys(Schema):
    """The key ``holdout_size``."""

    holdout_size: HoldoutSize | None = None


class HoldoutSizeGate(Gate[HoldoutSizeKeys, None]):
    """Requires enough documents that neither version has learned from.

    On few documents the intervals are wide, and floors are met or missed by chance. What a model
    does with a label that is rare in the holdout hardly shows in any metric.
    """

    name = "holdout_size"
    position = 75
    keys = HoldoutSizeKeys
    examples = (
        (
            "`holdout_size: {documents: 1000, of_each_label: 50}`",
            "it is judged by fewer documents than these, in all or of one label",
        ),
    )

    def judge(
        self, asked: HoldoutSizeKeys, evidence: Evidence, measured: None
    ) -> Iterator[GateResult]:
        """Yield one result, which names the labels with too few documents."""
        import numpy as np

        if asked.holdout_size is None:
            return
        least, of_each = asked.holdout_size.documents, asked.holdout_size.of_each_label
        classes, truth = evidence.challenger.classes, evidence.challenger.truth
        counts = zip(classes, np.bincount(truth, minlength=len(classes)).tolist(), strict=True)
        rare = [f"{count:,} of {label}" for label, count in counts if count < of_each]
        yield GateResult(
            name="holdout size",
            passed=len(truth) >= least and not rare,
            found=", ".join([counted(len(truth), "document"), *rare]),
            required=f"{counted(least, 'document')}, {of_each:,} of each label",
        )


GATE = HoldoutSizeGate()
