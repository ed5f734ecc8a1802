"""Linear forms of fitted classifiers, and the probabilities that their outputs mean."""

from __future__ import annotations

from math import exp
from typing import Protocol, runtime_checkable

import numpy as np

from perennial.estimators import spec_of
from perennial.estimators.base import LinearForm, Link


@runtime_checkable
class HasLinearForm(Protocol):
    """A classifier that knows its linear form, such as one that wraps another."""

    def linear_form(self) -> LinearForm | None:
        """Return the linear form of the fitted classifier, None if it has none."""
        ...


def linear_form(classifier: object) -> LinearForm | None:
    """Return the linear form of a fitted classifier, None if it has none that is known."""
    form = None
    if isinstance(classifier, HasLinearForm):
        form = classifier.linear_form()
    elif (spec := spec_of(classifier)) is not None and spec.linear_form is not None:
        form = spec.linear_form(classifier)
    if form is None or not (np.isfinite(form.weights).all() and np.isfinite(form.intercepts).all()):
        return None
    return form


def probabilities_of(outputs: list[float], link: Link) -> tuple[float, ...]:
    """Return the probability of each class for the outputs of a linear form."""
    return _logistic(outputs[0]) if link == "logistic" else _softmax(outputs)


def _logistic(log_odds: float) -> tuple[float, float]:
    if log_odds >= 0:
        second = 1 / (1 + exp(-log_odds))
    else:
        # exp of a large positive number would overflow.
        odds = exp(log_odds)
        second = odds / (1 + odds)
    return 1 - second, second


def _softmax(outputs: list[float]) -> tuple[float, ...]:
    largest = max(outputs)
    odds = [exp(output - largest) for output in outputs]
    total = sum(odds)
    return tuple([each / total for each in odds])
