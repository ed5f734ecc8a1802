"""Linear forms of fitted classifiers, and the probabilities that their outputs mean."""

from __future__ import annotations

from math import exp, log1p
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from sklearn.multiclass import OneVsRestClassifier

from perennial.estimators import spec_of
from perennial.estimators.base import LinearForm, Link

Floats = NDArray[np.float64]


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
    elif isinstance(classifier, OneVsRestClassifier):
        form = _one_vs_rest_form(classifier)
    elif (spec := spec_of(classifier)) is not None and spec.linear_form is not None:
        form = spec.linear_form(classifier)
    if form is None or not (np.isfinite(form.weights).all() and np.isfinite(form.intercepts).all()):
        return None
    return form


def scores_from(outputs: Floats, link: Link) -> Floats:
    """Return the scores of each class, of which ``softmax`` makes the probabilities.

    Parameters
    ----------
    outputs : ndarray of float64, shape (n_rows, n_outputs)
        Of a linear form.
    link : {"logistic", "softmax", "one_vs_rest"}
        Its link.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_classes)
    """
    if link == "logistic":
        return np.hstack([np.zeros_like(outputs), outputs])
    return outputs if link == "softmax" else -np.logaddexp(0.0, -outputs)


def probabilities_of(outputs: list[float], link: Link) -> tuple[float, ...]:
    """Return the probability of each class for the outputs of a linear form."""
    if link == "logistic":
        return _logistic(outputs[0])
    # Probabilities of one class against the rest are divided by their sum, as odds are.
    return _softmax(outputs if link == "softmax" else list(map(_log_probability, outputs)))


def _one_vs_rest_form(classifier: OneVsRestClassifier) -> LinearForm | None:
    forms = [form for form in map(linear_form, classifier.estimators_) if form is not None]
    if len(forms) < len(classifier.estimators_):
        return None
    if len(forms) == 1:
        return forms[0]
    return LinearForm(
        np.vstack([form.weights for form in forms]),
        np.concatenate([form.intercepts for form in forms]),
        "one_vs_rest",
    )


def _log_probability(log_odds: float) -> float:
    if log_odds >= 0:
        return -log1p(exp(-log_odds))
    return log_odds - log1p(exp(log_odds))


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
