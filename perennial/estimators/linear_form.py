"""Linear forms of fitted classifiers: weights, intercepts, and a link to probabilities.

A classifier that is linear in its features can be applied in other ways than by its own code;
`linear_form` knows which are, and `_FORMS` is where another kind is added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Link = Literal["logistic", "softmax"]


@dataclass(frozen=True, eq=False)
class LinearForm:
    """A classifier as ``link(weights @ features + intercepts)``.

    Attributes
    ----------
    weights : ndarray of float64, shape (n_outputs, n_features)
        Two classes have one output, the log-odds of the second; more classes one output each.
    intercepts : ndarray of float64, shape (n_outputs,)
        The outputs for a document without features.
    link : {"logistic", "softmax"}
        How the outputs become probabilities.
    """

    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    link: Link


def linear_form(classifier: object) -> LinearForm | None:
    """Return the linear form of a fitted classifier, None if it has none that is known here."""
    kind = type(classifier)
    make = _FORMS.get(f"{kind.__module__}.{kind.__qualname__}")
    form = make(classifier) if make else None
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


def _logistic_regression(classifier: Any) -> LinearForm:
    link: Link = "logistic" if len(classifier.classes_) == 2 else "softmax"
    return LinearForm(classifier.coef_, classifier.intercept_, link)


def _naive_bayes(classifier: Any) -> LinearForm:
    weights, intercepts = classifier.feature_log_prob_, classifier.class_log_prior_
    if len(classifier.classes_) == 2:
        # Differences first: sums of logarithms are large numbers that nearly cancel out.
        return LinearForm(np.diff(weights, axis=0), np.diff(intercepts), "logistic")
    return LinearForm(weights, intercepts, "softmax")


def _decided(classifier: Any) -> LinearForm | None:
    """Fold the calibration into the weights; which label is given does not belong to the form."""
    form, calibration = linear_form(classifier.estimator_), classifier.calibration
    if form is None or calibration is None:
        return form
    offsets = np.array(calibration.offsets)
    return LinearForm(
        calibration.slope * form.weights,
        calibration.slope * form.intercepts
        + (np.diff(offsets) if form.link == "logistic" else offsets),
        form.link,
    )


def _calibrated(classifier: Any) -> LinearForm | None:
    """Return the form of a linear classifier of two classes behind one fitted line."""
    if len(classifier.classes_) > 2 or len(classifier.calibrated_classifiers_) > 1:
        return None
    (calibrated,) = classifier.calibrated_classifiers_
    (line,) = calibrated.calibrators
    inner = calibrated.estimator
    if not (hasattr(inner, "coef_") and hasattr(line, "a_")):
        return None
    # Platt's line gives the log-odds of the first class.
    return LinearForm(-line.a_ * inner.coef_, -(line.a_ * inner.intercept_ + line.b_), "logistic")


_FORMS: Mapping[str, Callable[[Any], LinearForm | None]] = {
    "perennial.estimators.threshold_classifier.Decided": _decided,
    "sklearn.linear_model._logistic.LogisticRegression": _logistic_regression,
    "sklearn.naive_bayes.MultinomialNB": _naive_bayes,
    "sklearn.calibration.CalibratedClassifierCV": _calibrated,
    "perennial.estimators.nb_svm.NbSvm": _logistic_regression,
}
