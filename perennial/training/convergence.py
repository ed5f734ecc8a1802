"""Convergence: whether a fit ended because it was done, or because its iterations were over."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.base import BaseEstimator

from perennial.gates.base import FitEnd

# Under these names estimators keep those that they are made of, fitted.
_ONE, _MANY = ("estimator_", "estimator"), ("estimators_", "calibrated_classifiers_")


def end_of_fit(classifier: BaseEstimator) -> FitEnd:
    """Return how the part of a fitted classifier ended that came closest to its limit."""
    found = [
        (used / limit, FitEnd(used, limit))
        for part in _parts(classifier)
        if getattr(part, "n_iter_", None) is not None and (limit := _limit(part)) > 0
        for used in [int(np.max(part.n_iter_))]
    ]
    _, end = max(found, key=lambda each: each[0], default=(0.0, FitEnd(0, None)))
    return end


def _limit(part: BaseEstimator) -> int:
    return int(getattr(part, "max_iter", 0) or 0)


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
