"""A metric: what there is to know about it, and how it is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions

# Keys of a problem's file without which a metric does not exist.
Needed = Literal["decision.costs", "decision.floor.precision"]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """A metric as a proportion of documents: of those that are tried, how many hit.

    Attributes
    ----------
    hits, trials : ndarray of bool, shape (n_documents,)
        Which documents are tried, and which of them hit.
    of_share : callable or None
        The metric as an increasing function of the share of hits; None if it is the share.
    """

    hits: NDArray[np.bool_]
    trials: NDArray[np.bool_]
    of_share: Callable[[float], float] | None = None

    @property
    def n_hits(self) -> int:
        """Number of hits."""
        return int(self.hits.sum())

    @property
    def n_trials(self) -> int:
        """Number of documents that are tried."""
        return int(self.trials.sum())

    @property
    def is_share(self) -> bool:
        """Whether the metric is the share of hits itself."""
        return self.of_share is None

    def value_of(self, share: float) -> float:
        """Return the metric where this is the share of hits."""
        return share if self.of_share is None else self.of_share(share)


@dataclass(frozen=True)
class Metric:
    """A metric of predictions.

    Attributes
    ----------
    name : str
        As problem files, runs and Prometheus have it.
    position : int
        Its position among the metrics in tables and messages.
    more_is_better : bool
        Whether a model with a larger value is the better one.
    of_resamples : callable
        Its value for each row of a matrix of counts, shape (n_resamples, n_documents).
    needs_probabilities : bool
        Whether it depends on the probabilities, and not on the labels alone.
    needs : {"decision.costs", "decision.floor.precision"} or None
        The key of a problem's file without which it does not exist.
    of_positive_class : bool
        Whether it is about the positive class, if there are two.
    is_tuned_for : bool
        Whether a problem with this metric and without ``decision`` gives the labels that make it
        large, and not the most probable ones.
    least_classes, most_classes : int or None
        The least and the largest number of classes of which it tells something.
    outcomes : callable or None
        What makes it a proportion of documents, or None where it is none; None for metrics that
        never are.
    slopes : callable or None
        How much it changes with the weight of each document, shape (n_documents,), where they have
        certain weights; None for metrics that are resampled however many documents there are.
    """

    name: str
    position: int
    more_is_better: bool
    of_resamples: Callable[[Predictions, Counts], Floats]
    needs_probabilities: bool = False
    needs: Needed | None = None
    of_positive_class: bool = False
    is_tuned_for: bool = False
    least_classes: int = 2
    most_classes: int | None = None
    outcomes: Callable[[Predictions], Outcomes | None] | None = None
    slopes: Callable[[Predictions, Floats], Floats] | None = None

    def tells_of(self, number: int) -> bool:
        """Whether it tells something of so many classes."""
        most = number if self.most_classes is None else self.most_classes
        return self.least_classes <= number <= most

    @property
    def way_out(self) -> str:
        """What to do where the key is not there that it needs, as a clause."""
        return f"no {self.name} is possible without {self.needs}, so add it or name another metric"

    @property
    def sign(self) -> float:
        """What a value is multiplied with, so that more is better: 1 or -1."""
        return 1.0 if self.more_is_better else -1.0
