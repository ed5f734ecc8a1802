"""Top-k accuracy: the share of documents whose label is among the three most probable ones.

It is for problems with many labels, in which a person chooses from what the model suggests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.counting import mean
from perennial.metrics.evaluation.metric import Metric, Outcomes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions

K = 3


def _is_among_the_first(p: Predictions) -> NDArray[np.bool_]:
    import numpy as np

    own = np.take_along_axis(p.probabilities, p.truth[:, None], axis=1)
    more_probable = (p.probabilities > own).sum(axis=1)
    # Of equally probable classes the later one ranks higher, as scikit-learn has it.
    later = np.arange(len(p.classes)) > p.truth[:, None]
    ahead = more_probable + ((p.probabilities == own) & later).sum(axis=1)
    found: NDArray[np.bool_] = ahead < K
    return found


def _top_k_accuracy(p: Predictions, counts: Counts) -> Floats:
    return mean(_is_among_the_first(p).astype(float), counts)


def _outcomes(p: Predictions) -> Outcomes:
    found = _is_among_the_first(p)
    return Outcomes(found, found | True)


METRIC = Metric(
    name="top_k_accuracy",
    of_resamples=_top_k_accuracy,
    position=17,
    more_is_better=True,
    needs_probabilities=True,
    least_classes=K + 1,
    outcomes=_outcomes,
)
