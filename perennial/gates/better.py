"""Better: the gain over Production, or no loss where newer documents count as a gain."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from perennial.gates.base import Comparison, Evidence, Gate, GateResult, format_gain
from perennial.schema import Schema, Share

BETTER = "better than Production"
NOT_WORSE = "not worse than Production, on newer documents"


class NotWorse(Schema):
    """What suffices for a challenger that has seen newer documents than Production."""

    margin: Share = Field(description="its confidence interval lies above minus this")


class BetterKeys(Schema):
    """The keys ``confidence`` and ``not_worse``."""

    confidence: Share = Field(
        default=0.95, description="of the interval of the difference to Production"
    )
    not_worse: NotWorse | None = Field(
        default=None, description="newer documents are a reason to promote; absent: be better"
    )


class BetterGate(Gate[BetterKeys, bool]):
    """Requires that the confidence interval of the gain lies above zero, or above minus a margin.

    Under equal quality the lower end is above zero in at most half of ``1 - confidence`` of all
    comparisons, so that a coin-flip challenger is promoted in about 2.5 of 100 retrainings at 0.95.

    A model ages, so a problem may accept a challenger with newer documents that is not worse by
    more than a margin (non-inferiority; Piaggio et al., Reporting of Noninferiority and Equivalence
    Randomized Trials, JAMA 308, 2012). Each such step may lose up to the margin, and many may add
    up; a floor ends that.
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
            "`not_worse: {margin: 0.002}`",
            (
                "it has seen newer documents than Production, and the interval is not above "
                "-0.002 (in place of the line before)"
            ),
        ),
    )

    def look_up(self, asked: BetterKeys, comparison: Comparison) -> bool | None:
        """Return whether the challenger has learned from newer documents than Production."""
        return comparison.has_newer_documents

    def judge(
        self, asked: BetterKeys, evidence: Evidence, measured: bool | None
    ) -> Iterator[GateResult]:
        """Yield one result if there is a Production version."""
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
        not_worse = asked.not_worse if measured else None
        limit = 0.0 if not_worse is None else -not_worse.margin
        yield GateResult(
            name=BETTER if not_worse is None else NOT_WORSE,
            passed=gain.low > limit,
            found=f"{evidence.metric} {format_gain(gain)}",
            required=f"{asked.confidence * 100:g}% interval above {limit:g}",
        )


GATE = BetterGate()
