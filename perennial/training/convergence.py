"""Convergence: whether a fit ended because it was done, or because its iterations were over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator

# Under these names estimators keep those that they are made of, fitted.
_ONE, _MANY = ("estimator_", "estimator"), ("estimators_", "calibrated_classifiers_")


@dataclass(frozen=True)
class Iterations:
    """Iterations of a fit.

    Attributes
    ----------
    used : int
        The most that any part of the model has used.
    limit : int
        How many that part could have used.
    """

    used: int
    limit: int

    @property
    def converged(self) -> bool:
        """Whether the fit ended before its iterations were over."""
        return self.used < self.limit


def iterations_of(classifier: BaseEstimator) -> Iterations | None:
    """Return the iterations of the part of a fitted classifier that came closest to its limit.

    None for one that is not fitted by iterations, or has no limit.
    """
    found = [
        Iterations(int(np.max(part.n_iter_)), int(part.max_iter))
        for part in _parts(classifier)
        if getattr(part, "n_iter_", None) is not None and (getattr(part, "max_iter", 0) or 0) > 0
    ]
    return max(found, key=lambda each: each.used / each.limit, default=None)


def _parts(estimator: BaseEstimator) -> Iterator[BaseEstimator]:
    yield estimator
    for name in _ONE:
        if isinstance(inner := getattr(estimator, name, None), BaseEstimator):
            yield from _parts(inner)
    for name in _MANY:
        members = getattr(estimator, name, None)
        for inner in () if members is None else np.ravel(np.asarray(members, np.object_)):
            # Calibrated parts of scikit-learn are no estimators, and hold one.
            yield from _parts(inner)
