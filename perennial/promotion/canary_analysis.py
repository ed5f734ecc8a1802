"""Canary analysis: does anything prove a canary worse than Production?

A canary has passed the gates on the holdout; here it is watched on real requests. Chance sends each
request to one of the two versions, so a difference beyond chance is caused by the version. Each
check has an interval that holds at every look (see `perennial.promotion.confidence_sequences`), and
a limit counts as crossed when the whole interval lies beyond it: a canary that is as good as
Production is taken back with probability ``1 - confidence`` at most, over all checks, steps and
looks together.

Each step is judged on its own requests. Over several steps the canary's share changes, and with it
the mix of hours and weekdays that each version has seen (Simpson's paradox).

Where a problem says which fall in accuracy must be seen, both versions score the same inputs, and
no canary becomes Production before that fall is excluded (`perennial.promotion.paired_evidence`).

What this cannot see: requests that carry the same ``X-Request-Key`` always get the same version,
and count as independent here, except in the paired comparison. Where few keys send most requests,
limits should be wider.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from perennial.commands import counted
from perennial.config.sections.rollout import Rollout
from perennial.metrics import Interval
from perennial.promotion.confidence_sequences import (
    Bucket,
    Tally,
    difference_interval,
    quantile_interval,
)
from perennial.promotion.paired_evidence import Paired, fall_interval

CanaryOutcome = Literal["wait", "next step", "promote", "take back"]

SLOWEST = 0.95
_CHECKS = 4
PAIRED = "fall in accuracy on the same inputs"
_NONE = Tally(0, 0)


@dataclass(frozen=True)
class RequestCounts:
    """Counts of one version's requests since a step began.

    Attributes
    ----------
    failures : int
        Requests that the version could not answer.
    labels : mapping of str to int
        Label -> answered requests whose first input got it.
    feedback : Tally
        How often feedback agreed with the version's prediction.
    seconds : mapping of Bucket to int
        Bucket of durations -> answered requests in it.
    """

    failures: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    feedback: Tally = _NONE
    seconds: Mapping[Bucket, int] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        """Number of answered requests."""
        return sum(self.labels.values())

    @property
    def requests(self) -> int:
        """Number of answered and failed requests."""
        return self.answered + self.failures


@dataclass(frozen=True)
class Check:
    """One metric of the canary against Production.

    Attributes
    ----------
    name : str
        Name of the metric.
    canary, production : float
        Values of the metric; NaN if nothing was observed.
    worse : Interval
        Difference by which the canary is worse, or the ratio of durations.
    limit : float
        Largest allowed value of `worse`.
    """

    name: str
    canary: float
    production: float
    worse: Interval
    limit: float

    @property
    def is_crossed(self) -> bool:
        """Whether the limit is crossed beyond doubt."""
        return self.worse.low > self.limit

    def __str__(self) -> str:
        return (
            f"{self.name} {self.canary:.4g} against {self.production:.4g} of Production; worse by "
            f"{self.worse.low:.4g} at least, allowed is {self.limit:g}"
        )


@dataclass(frozen=True)
class CanaryAnalysis:
    """Result of one look at a canary.

    Attributes
    ----------
    outcome : CanaryOutcome
        `wait` for more requests, go to the `next step`, `promote` to Production, or `take back`.
    reason : str
        Reason for the outcome, in one sentence.
    canary, production : int
        Version numbers of the two.
    step : int
        Position of the current step, from 0.
    share : float
        Share of the requests that the canary gets in this step.
    checks : tuple of Check
        Checks of the step; empty if something else decided.
    """

    outcome: CanaryOutcome
    reason: str
    canary: int
    production: int
    step: int
    share: float
    checks: tuple[Check, ...] = ()


def compute_checks(
    rollout: Rollout,
    canary: RequestCounts,
    production: RequestCounts,
    expected: Mapping[str, float] | None = None,
    paired: Paired | None = None,
) -> tuple[Check, ...]:
    """Return every check of the two versions in one step, with the limits of a rollout.

    Parameters
    ----------
    rollout : Rollout
        Limits, confidence and number of steps.
    canary, production : RequestCounts
        Counts of their requests in the step.
    expected : mapping of str to float, optional
        Label -> its share of the canary's predictions for the holdout, minus that of Production's.
    paired : Paired, optional
        What both versions say of the same inputs, where a fall in accuracy must be seen.
    """
    alpha = alpha_of(rollout)
    return (
        _errors(rollout, canary, production, alpha),
        _latency(rollout, canary, production, alpha),
        _accuracy(rollout, canary, production, alpha),
        *_shares(rollout, canary, production, expected or {}, alpha),
        *(() if paired is None else (_fall(rollout, paired, alpha),)),
    )


def alpha_of(rollout: Rollout) -> float:
    """Return the probability with which each check of a step may be wrong."""
    checks = _CHECKS if rollout.must_see is None else _CHECKS + 1
    return (1 - rollout.confidence) / len(rollout.steps) / checks


def choose_outcome(
    rollout: Rollout, step: int, canary: RequestCounts, checks: tuple[Check, ...], age: timedelta
) -> tuple[CanaryOutcome, str]:
    """Return the outcome for a canary in a step of this age, and its reason."""
    crossed = [str(check) for check in checks if check.is_crossed]
    if crossed:
        return "take back", "; ".join(crossed)
    missing, seen = _missing(rollout, canary, age), counted(canary.requests, "request")
    is_last = step + 1 == len(rollout.steps)
    if is_last and not missing:
        missing = _unseen_fall(rollout, checks)
    if not missing and step + 1 < len(rollout.steps):
        return "next step", f"no limit was crossed in {seen}"
    if not missing:
        return "promote", f"no limit was crossed in {seen} of the last step{_proved(checks)}"
    if age > rollout.max_time:
        return "take back", f"after {_days(age)} its step still needs {missing}"
    return "wait", f"the step needs {missing}"


def _missing(rollout: Rollout, canary: RequestCounts, age: timedelta) -> str:
    """Return what is missing for the end of a step; empty if nothing is."""
    needs = (
        ("logged requests", canary.requests, rollout.requests),
        ("feedback", canary.feedback.total, rollout.feedback),
    )
    missing = [f"{needed - seen:,} more {what}" for what, seen, needed in needs if seen < needed]
    if age < rollout.step_time:
        missing.append(f"{math.ceil((rollout.step_time - age).total_seconds())} s more")
    return " and ".join(missing)


def _unseen_fall(rollout: Rollout, checks: tuple[Check, ...]) -> str:
    """Return what is missing to exclude the fall that must be seen; empty if nothing is."""
    if rollout.must_see is None:
        return ""
    found = next((check.worse.high for check in checks if check.name == PAIRED), 1.0)
    if found < rollout.must_see:
        return ""
    return (
        f"labels of inputs on which the versions disagree: a fall of {found:.2g} in accuracy is "
        f"possible, and one of {rollout.must_see:g} must be excluded"
    )


def _proved(checks: tuple[Check, ...]) -> str:
    """Return which fall in accuracy is excluded, as the end of a sentence."""
    found = next((check.worse.high for check in checks if check.name == PAIRED), None)
    return "" if found is None else f", and accuracy has not fallen by {max(found, 0.0):.2g}"


def _fall(rollout: Rollout, paired: Paired, alpha: float) -> Check:
    won, lost = (Tally(hits, paired.labelled).rate for hits in (paired.won, paired.lost))
    worse = fall_interval(paired, alpha)
    return Check(PAIRED, won, lost, worse, rollout.limits.accuracy_drop)


def _errors(
    rollout: Rollout, canary: RequestCounts, production: RequestCounts, alpha: float
) -> Check:
    one, other = (Tally(seen.failures, seen.requests) for seen in (canary, production))
    worse = difference_interval(one, other, alpha)
    return Check("error rate", one.rate, other.rate, worse, rollout.limits.error_rate)


def _latency(
    rollout: Rollout, canary: RequestCounts, production: RequestCounts, alpha: float
) -> Check:
    """Compare the duration that 95 of 100 requests do not exceed."""
    one, other = (
        quantile_interval(seen.seconds, SLOWEST, alpha / 2) for seen in (canary, production)
    )
    low = one.low / other.high
    high = one.high / other.low if other.low else math.inf
    ratio = Interval(one.value / other.value, low, high)
    name = f"latency (s, {SLOWEST:.0%} of requests)"
    return Check(name, one.value, other.value, ratio, rollout.limits.latency_ratio)


def _accuracy(
    rollout: Rollout, canary: RequestCounts, production: RequestCounts, alpha: float
) -> Check:
    one, other = canary.feedback, production.feedback
    worse = difference_interval(other, one, alpha)
    return Check("feedback accuracy", one.rate, other.rate, worse, rollout.limits.accuracy_drop)


def _shares(
    rollout: Rollout,
    canary: RequestCounts,
    production: RequestCounts,
    expected: Mapping[str, float],
    alpha: float,
) -> list[Check]:
    """Compare the share of each label, whichever way it differs.

    A chi-square test would only say that the shares differ, which a better model's do as well, and
    which enough requests always prove. What matters is by how much, beyond what is known from the
    holdout: a version that has learned what Production has not must predict other shares.
    """
    labels = sorted({*canary.labels, *production.labels})
    # The shares of two labels are one number.
    compared = labels[-1:] if len(labels) == 2 else labels
    checks = []
    for label in compared:
        one, other = (
            Tally(seen.labels.get(label, 0), seen.answered) for seen in (canary, production)
        )
        differs = difference_interval(one, other, alpha / len(compared))
        known = expected.get(label, 0.0)
        size = _beyond(differs, min(0.0, known), max(0.0, known))
        limit = rollout.limits.share_shift
        checks.append(Check(f"share of {label}", one.rate, other.rate, size, limit))
    return checks


def _beyond(found: Interval, low: float, high: float) -> Interval:
    """Return how far a value lies outside of a range."""
    return Interval(
        max(0.0, found.value - high, low - found.value),
        max(0.0, found.low - high, low - found.high),
        max(0.0, found.high - high, low - found.low),
    )


def _days(age: timedelta) -> str:
    return f"{age.total_seconds() / timedelta(days=1).total_seconds():.2g} days"
