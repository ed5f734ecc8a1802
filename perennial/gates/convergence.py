"""Convergence: whether the fit ended because it was done, and not because it was cut off."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from perennial.commands import counted
from perennial.gates.base import NOT_MEASURED, Evidence, FitEnd, Gate, GateResult, ModelOnHoldout
from perennial.schema import Schema


class ConvergenceKeys(Schema):
    """The key ``converged``."""

    converged: bool = Field(
        default=False, description="keep out a challenger whose fit was cut off by its max_iter"
    )


class ConvergenceGate(Gate[ConvergenceKeys, FitEnd]):
    """Requires that the fit has converged, where its estimator is fitted by iterations.

    A fit that was cut off is not the model that its parameters describe: the next one, of hardly
    other documents, may be quite another.
    """

    name = "convergence"
    position = 72
    keys = ConvergenceKeys
    looks_at = "model"
    examples = (
        (
            "`converged: true`",
            (
                "its fit has used all iterations that `max_iter` of the candidate allows; an "
                "estimator that is not fitted by iterations passes"
            ),
        ),
    )

    def measure(self, asked: ConvergenceKeys, subject: ModelOnHoldout) -> FitEnd | None:
        """Return how the fit ended."""
        return subject.fit_end if asked.converged else None

    def judge(
        self, asked: ConvergenceKeys, evidence: Evidence, measured: FitEnd | None
    ) -> Iterator[GateResult]:
        """Yield one result if the problem asks for a fit that has converged."""
        if not asked.converged:
            return
        yield GateResult(
            name="convergence",
            passed=measured is not None and measured.converged,
            found=_found(measured),
            required="a fit that ends before its iterations are over",
        )


def _found(measured: FitEnd | None) -> str:
    if measured is None:
        return NOT_MEASURED
    if measured.limit is None:
        return "not fitted by iterations"
    return f"{measured.used:,} of {counted(measured.limit, 'iteration')}"


GATE = ConvergenceGate()
