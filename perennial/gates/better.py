"""Better: the gain over Production, or no loss where newer documents count as a gain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)
from pydantic_core import PydanticCustomError

from perennial.commands import counted
from perennial.gates.base import Anchor, Comparison, Evidence, Gate, GateResult, format_gain
from perennial.schema import Schema, Share

if TYPE_CHECKING:
    from perennial.metrics import Interval, MetricName

BETTER = "better than Production"
NOT_WORSE = "not worse than Production, on newer documents"


class NotWorse(Schema):
    """What suffices for a challenger that has seen newer documents than Production."""

    margin: Share = Field(description="its confidence interval lies above minus this")
    budget: Share | None = Field(
        default=None,
        description="how much all such versions together may lose against the best one so far; "
        "absent: the margin",
    )

    @field_validator("budget")
    @classmethod
    def _covers_a_step(cls, budget: float | None, info: ValidationInfo) -> float | None:
        if budget is not None and budget < info.data.get("margin", 0.0):
            raise PydanticCustomError("budget", "a budget should be no less than the margin")
        return budget

    @model_serializer(mode="wrap")
    def _leave_out_what_is_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write what a file of the time before there were budgets says."""
        written: dict[str, Any] = serialize(self)
        return {key: value for key, value in written.items() if value is not None}

    @property
    def in_all(self) -> float:
        """How much all steps together may lose."""
        return self.margin if self.budget is None else self.budget


@dataclass(frozen=True, eq=False)
class Freshness:
    """What newer documents allow.

    Attributes
    ----------
    newer : bool
        Whether the challenger has seen newer documents than Production.
    anchor : Anchor or None
        The best version so far, if it is not Production itself.
    """

    newer: bool
    anchor: Anchor | None = None


class BetterKeys(Schema):
    """The keys ``confidence`` and ``not_worse``."""

    confidence: Share = Field(
        default=0.95, description="of the interval of the difference to Production"
    )
    not_worse: NotWorse | None = Field(
        default=None, description="newer documents are a reason to promote; absent: be better"
    )


class BetterGate(Gate[BetterKeys, Freshness]):
    """Requires that the confidence interval of the gain lies above zero, or above minus a margin.

    Under equal quality the lower end is above zero in at most half of ``1 - confidence`` of all
    comparisons, so that a coin-flip challenger is promoted in about 2.5 of 100 retrainings at 0.95.

    A model ages, so a problem may accept a challenger with newer documents that is not worse by
    more than a margin (non-inferiority; Piaggio et al., Reporting of Noninferiority and Equivalence
    Randomized Trials, JAMA 308, 2012). Many such steps would add up, so each is compared with an
    anchor, too: the last version that was proved better than every one before it. Below that all
    steps together lose the budget at most, and the anchor moves only to what is proved better.
    """

    name = "better"
    position = 30
    keys = BetterKeys
    in_every_digest = True
    examples = (
        (
            "`confidence: 0.95`",
            "the interval of its gain over Production, at this confidence, is not above 0",
        ),
        (
            "`not_worse: {margin: 0.002, budget: 0.005}`",
            (
                "it has seen newer documents than Production, and the interval is not above "
                "-0.002, or that of its gain over the best version so far not above -0.005 (in "
                "place of the line before)"
            ),
        ),
    )

    def look_up(self, asked: BetterKeys, comparison: Comparison) -> Freshness | None:
        """Return whether newer documents are a reason, and what a series of versions may lose."""
        if comparison.has_newer_documents is None:
            return None
        return Freshness(comparison.has_newer_documents, comparison.anchor)

    def judge(
        self, asked: BetterKeys, evidence: Evidence, measured: Freshness | None
    ) -> Iterator[GateResult]:
        """Yield one result if there is a Production version, and one for the anchor."""
        from perennial.metrics import difference

        if evidence.production is None:
            return
        gain = difference(
            evidence.metric,
            evidence.challenger,
            evidence.production,
            confidence=asked.confidence,
            seed=evidence.seed,
        )
        may_be_equal = measured is not None and measured.newer and gain.low <= 0
        not_worse = asked.not_worse if may_be_equal else None
        limit = 0.0 if not_worse is None else -not_worse.margin
        yield GateResult(
            name=BETTER if not_worse is None else NOT_WORSE,
            passed=gain.low > limit,
            found=f"{evidence.metric} {format_gain(gain)}{_meaning(asked, evidence, gain)}",
            required=f"{asked.confidence * 100:g}% interval above {limit:g}",
        )
        if not_worse is not None and measured is not None and measured.anchor is not None:
            yield _judge_anchor(asked, not_worse, evidence, measured.anchor)


def _meaning(asked: BetterKeys, evidence: Evidence, gain: Interval) -> str:
    """Return what a gain that is not proved means, and which one could have been."""
    from perennial.metrics import METRICS, compute, conclusion, provable

    if gain.low > 0 or evidence.production is None:
        return ""
    value = compute(evidence.metric, evidence.production)
    left = 1 - value if METRICS[evidence.metric].more_is_better else value
    meaning = conclusion(gain, asked.confidence, left)
    could = provable(gain, asked.confidence)
    documents = counted(len(evidence.production), "document")
    return f", {meaning} ({documents} can prove a gain of about {could:.2g})"


def gain_over(anchor: Anchor, metric: MetricName, confidence: float, seed: int) -> Interval | None:
    """Return the challenger's gain over the best version so far; None if that cannot be told."""
    from perennial.metrics import difference

    if anchor.challenger is None or anchor.anchor is None:
        return None
    return difference(metric, anchor.challenger, anchor.anchor, confidence=confidence, seed=seed)


def _judge_anchor(
    asked: BetterKeys, not_worse: NotWorse, evidence: Evidence, anchor: Anchor
) -> GateResult:
    gain = gain_over(anchor, evidence.metric, asked.confidence, evidence.seed)
    return GateResult(
        name=f"not worse than version {anchor.version}, the best so far",
        passed=gain is not None and gain.low > -not_worse.in_all,
        found="it cannot be compared any more"
        if gain is None
        else f"{evidence.metric} {format_gain(gain)}",
        required=f"{asked.confidence * 100:g}% interval above {-not_worse.in_all:g}, whatever the "
        "versions in between have lost",
    )


GATE = BetterGate()
