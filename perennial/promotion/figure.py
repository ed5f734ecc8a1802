"""The honest figure of Production: by documents that arrived since, or the claim, corrected."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from perennial.commands import counted
from perennial.metrics import METRICS, MetricName

# Of fewer documents that have arrived since, the corrected claim says more.
LEAST_SINCE = 100


class Selection(BaseModel):
    """How a version was chosen on a holdout.

    Attributes
    ----------
    metric : str
        The metric for which it was chosen.
    claimed : float
        Its value on that holdout.
    optimism : float
        By how much it may be better there than in truth; see `perennial.promotion.selection`.
    """

    model_config = ConfigDict(frozen=True)

    metric: MetricName
    claimed: float
    optimism: float

    @property
    def corrected(self) -> float:
        """The claim without what may be chance."""
        sign = 1 if METRICS[self.metric].more_is_better else -1
        return self.claimed - sign * self.optimism

    def __str__(self) -> str:
        direction = "high" if METRICS[self.metric].more_is_better else "low"
        return (
            f"{self.metric} {self.claimed:.4f}, selected on this holdout, may be {direction} by "
            f"about {self.optimism:.2g}"
        )


class Since(BaseModel):
    """What holdout documents say of Production that arrived after it was made.

    Attributes
    ----------
    metric : str
        The metric.
    value, low, high : float
        Its value and the bounds of its interval.
    documents : int
        Number of the documents.
    """

    model_config = ConfigDict(frozen=True)

    metric: MetricName
    value: float
    low: float
    high: float
    documents: int

    def __str__(self) -> str:
        return (
            f"{self.metric} {self.value:.4f} [{self.low:.4f}, {self.high:.4f}] on "
            f"{counted(self.documents, 'document')} that arrived since"
        )


def best_figure(selection: Selection | None, since: Since | None) -> float | None:
    """Return the figure to believe: of documents since, else the corrected claim, if there is one.

    Parameters
    ----------
    selection : Selection or None
        How the version was chosen; None for one that was compared with no other.
    since : Since or None
        What documents say that arrived after it was made.
    """
    if since is not None and since.documents >= LEAST_SINCE:
        return since.value
    return None if selection is None else selection.corrected
