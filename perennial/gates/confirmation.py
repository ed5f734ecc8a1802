"""Confirmation: a challenger that passes once has to show it a second time before it takes over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from perennial.gates.base import Evidence, Gate, GateResult, format_gain
from perennial.schema import Schema

if TYPE_CHECKING:
    from perennial.metrics import Interval

Confirm = Literal["next", "fresh", "none"]
CONFIRMATION = "confirmation"
# A second look at mostly the same documents agrees with the first more often than chance would.
# So it is asked for less than half of the error: at 95%, for a gain that is proved at 98%.
_ERROR_AGAIN = 0.4
# Of fewer documents a gain could be chance, whichever way they fall.
LEAST_FRESH = 100


class ConfirmationKeys(Schema):
    """The key ``confirm``."""

    confirm: Confirm = Field(
        default="next",
        description="what confirms a challenger that passes every gate: that the same candidate "
        "passes again on newer documents, documents that arrived since, or nothing",
    )


class ConfirmationGate(Gate[ConfirmationKeys, None]):
    """Requires that a challenger that passes every other gate is confirmed.

    Who retrains daily looks daily, at a holdout that is mostly the same: sooner or later a
    challenger passes by chance. Chance seldom strikes twice, whereas a gain stays.

    It is looked at when all other gates are passed, in
    `perennial.promotion.verdict.Verdict.confirmed`.
    """

    name = CONFIRMATION
    position = 85
    keys = ConfirmationKeys
    looks_at = "registry"
    examples = (
        (
            "`confirm: next`",
            (
                "the default: it passes every other gate, but the same candidate did not do so "
                "before, on fewer documents and against the same Production; `fresh`: nor is the "
                "version that did better on documents that arrived after it; `none`: once is enough"
            ),
        ),
    )
    section = """\
## Confirmation
A challenger that passes every other gate takes over when it is *confirmed*; until then it is kept, and the verdict says
what it waits for. Who retrains every day looks at nearly the same holdout every day, and sooner or later something
passes by chance; `python -m benchmarks.promotion` has what a year of that does with and without confirmation.

| `confirm:` | a challenger takes over when |
|---|---|
| `next` (the default) | the retraining before, of the same candidate with the same parameters, has passed every gate as well, against the same Production, documents have arrived since, and now the gain is proved at a higher confidence: at 98% where `confidence` is 0.95 |
| `fresh` | a version of the same candidate has passed before, and that version is better than Production on at least 100 documents that arrived after its snapshot, with the whole interval above 0. None of these documents had a part in making or choosing it. For problems with many new documents |
| `none` | it passes once |

A retraining that finds nothing new confirms nothing: the same documents give the same result. Nothing is asked of a
first version, or when Production was lost. `perennial retrain NAME --urgent` does without it, when an old model does
harm every day, and the verdict and the history say so. With `promotion: approve` a person is asked about what is
confirmed, and a canary begins with it. By hand, `perennial rollback NAME --version 7 --why "..."` makes any version
Production.
"""  # noqa: E501

    def judge(
        self, asked: ConfirmationKeys, evidence: Evidence, measured: None
    ) -> Iterable[GateResult]:
        """Yield nothing: it follows when all other gates are passed."""
        return ()


def confidence_again(confidence: float) -> float:
    """Return the confidence at which a challenger that passes for the second time is better."""
    return 1 - (1 - confidence) * _ERROR_AGAIN


def passed_again(
    before: int | None, passed: bool, production: int, again: Sequence[GateResult]
) -> GateResult:
    """Return the result of ``confirm: next``.

    Parameters
    ----------
    before : int or None
        The version of the same candidate that was made before, on fewer documents, and was
        compared with the same Production; None if there is none.
    passed : bool
        Whether that version has passed every gate.
    production : int
        The Production version.
    again : sequence of GateResult
        What the gate *better* says of the challenger at the confidence of `confidence_again`.
    """
    unproved = [result for result in again if not result.passed]
    if before is None:
        found = f"passed for the first time against version {production}"
    elif not passed:
        found = f"version {before}, the one before, has not passed"
    elif unproved:
        found = (
            f"version {before} has passed before, and now the gain is less sure: "
            f"{unproved[0].found}"
        )
    else:
        found = f"version {before} has passed before, on fewer documents"
    surely = f"; the second time {again[0].required}" if again else ""
    return GateResult(
        name=CONFIRMATION,
        passed=before is not None and passed and not unproved,
        found=found,
        required=f"the same candidate passes twice running, on newer documents{surely}",
    )


def better_on_fresh(
    before: int | None, gain: Interval | None, documents: int, metric: str, confidence: float
) -> GateResult:
    """Return the result of ``confirm: fresh``.

    Parameters
    ----------
    before : int or None
        The oldest version of the same candidate that has passed against this Production.
    gain : Interval or None
        Its gain over Production on the documents that arrived after its snapshot; None if these
        are too few.
    documents : int
        How many these are.
    metric : str
        The problem's metric.
    confidence : float
        Confidence of the interval.
    """
    if before is None:
        found = "passed for the first time; no document has arrived since"
    elif gain is None:
        found = f"{documents:,} documents have arrived since version {before} has passed"
    else:
        found = (
            f"version {before}: {metric} {format_gain(gain)} on {documents:,} documents that "
            "arrived after it"
        )
    return GateResult(
        name=CONFIRMATION,
        passed=gain is not None and gain.low > 0,
        found=found,
        required=f"{confidence * 100:g}% interval above 0 on {LEAST_FRESH:,} documents or more "
        "that arrived after a version that has passed",
    )


def not_asked(why: str) -> GateResult:
    """Return the result where a confirmation would be asked for, but for a reason."""
    return GateResult(
        name=CONFIRMATION, passed=True, found=f"not confirmed: {why}", required="nothing"
    )


GATE = ConfirmationGate()
