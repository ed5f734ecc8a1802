"""First version: what a challenger must show where there is no Production version to beat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from perennial.gates.base import Evidence, Gate, GateResult, format_gain
from perennial.metrics import METRICS, MetricName, compute, difference
from perennial.schema import Schema

if TYPE_CHECKING:
    from perennial.metrics import Predictions

# What is left to be won where a constant answer has the best value that a metric can have.
_INSTEAD = "balanced_accuracy"
_BEST = 1.0


class FirstVersion(Schema):
    """What the first version of a problem needs to become Production."""

    documents: int = Field(
        default=30, ge=1, description="the least number of holdout documents, whatever their label"
    )
    of_each_label: int = Field(
        default=3, ge=1, description="the least number of holdout documents with each label"
    )
    better_than_constant: bool = Field(
        default=True,
        description="whether it must be better than the best constant answer, with confidence",
    )


class FirstVersionKeys(Schema):
    """The key ``first_version``."""

    first_version: FirstVersion | None = Field(
        default=FirstVersion(), description="null: whatever passes the other gates"
    )


class FirstVersionGate(Gate[FirstVersionKeys, None]):
    """Requires that a first version is worth something.

    It has no Production version to beat, so it is compared with answers for which nothing has to be
    learned: the same label for everybody, with the shares of the labels as probabilities. On a few
    documents even that would be chance.
    """

    name = "first_version"
    position = 77
    keys = FirstVersionKeys
    examples = (
        (
            "`first_version: {documents: 30, of_each_label: 3, better_than_constant: true}`",
            (
                "the default: there is no Production version, and it is judged by fewer documents, "
                "or its gain over the best constant answer is not proved; `first_version: null` "
                "asks for nothing"
            ),
        ),
    )
    section = """\
## First versions
Without a Production version the best constant answer takes its place: the same label for every
document, whichever is best by the problem's metric on the holdout, with the shares of the labels as
its probabilities. The interval of the gain over it, at `confidence`, must be above 0. Where a
constant answer is perfect by the metric, as the positive label for everybody has a recall of 1,
balanced accuracy is compared.

A challenger that is kept out is registered all the same. Few documents are no fault of a model:
lower the numbers for a problem that will never have more.
"""

    def judge(
        self, asked: FirstVersionKeys, evidence: Evidence, measured: None
    ) -> Iterator[GateResult]:
        """Yield a result for the size of the holdout, and one for the gain."""
        first = asked.first_version
        if evidence.production is not None or first is None:
            return
        yield _judge_size(first, evidence.challenger)
        if first.better_than_constant and len(evidence.challenger):
            yield _judge_gain(evidence)


def _judge_size(first: FirstVersion, predictions: Predictions) -> GateResult:
    import numpy as np

    classes, truth = predictions.classes, predictions.truth
    counts = zip(classes, np.bincount(truth, minlength=len(classes)).tolist(), strict=True)
    rare = [f"{count:,} of {label}" for label, count in counts if count < first.of_each_label]
    return GateResult(
        name="first version, holdout",
        passed=len(truth) >= first.documents and not rare,
        found=", ".join([f"{len(truth):,} documents", *rare]),
        required=f"{first.documents:,} documents, {first.of_each_label:,} of each label",
    )


def _judge_gain(evidence: Evidence) -> GateResult:
    metric, constant = best_constant(evidence.metric, evidence.challenger)
    gain = difference(
        metric,
        evidence.challenger,
        constant,
        confidence=evidence.confidence,
        seed=evidence.seed,
    )
    label = constant.classes[int(constant.predicted[0])]
    answer = (
        "the shares of the labels" if METRICS[metric].needs_probabilities else f"always {label}"
    )
    return GateResult(
        name="first version, better than a constant answer",
        passed=gain.low > 0,
        found=f"{metric} {format_gain(gain)}",
        required=f"{evidence.confidence * 100:g}% interval above 0, compared with {answer} "
        f"({compute(metric, constant):.4f})",
    )


def best_constant(metric: MetricName, predictions: Predictions) -> tuple[MetricName, Predictions]:
    """Return by what to compare with a constant answer, and the best one on these documents."""
    judged = METRICS[metric]
    found = max(_constants(predictions), key=lambda each: judged.sign * compute(metric, each))
    if judged.more_is_better and compute(metric, found) >= _BEST:
        return _INSTEAD, found
    return metric, found


def _constants(predictions: Predictions) -> Iterator[Predictions]:
    """Yield the constant answers that there are: each label, with the shares of the labels."""
    import numpy as np

    counts = np.bincount(predictions.truth, minlength=len(predictions.classes))
    shares = np.tile(counts / counts.sum(), (len(predictions), 1))
    for code in range(len(predictions.classes)):
        same = np.full(len(predictions), code, np.int64)
        yield replace(predictions, predicted=same, probabilities=shares)


GATE = FirstVersionGate()
