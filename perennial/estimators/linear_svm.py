"""A linear support vector machine with probabilities.

One machine is fitted on all samples, and its margins become log-odds by a line fitted on margins of
samples that a machine had not seen (Platt, Probabilistic Outputs for Support Vector Machines,
1999): the result is linear again. Parameters of the machine begin with ``estimator__``.
"""

from __future__ import annotations

from typing import Any

from perennial.estimators.base import EstimatorSpec, LinearForm


def _linear_form(classifier: Any) -> LinearForm | None:
    """Return the form of a linear classifier behind one fitted line for each output."""
    import numpy as np

    if len(classifier.calibrated_classifiers_) > 1:
        return None
    (calibrated,) = classifier.calibrated_classifiers_
    lines, inner = calibrated.calibrators, calibrated.estimator
    if not (hasattr(inner, "coef_") and all(hasattr(line, "a_") for line in lines)):
        return None
    slopes, shifts = (np.array([getattr(line, name) for line in lines]) for name in ("a_", "b_"))
    # Platt's line gives the log-odds of what is not the class.
    return LinearForm(
        -slopes[:, None] * inner.coef_,
        -(slopes * inner.intercept_ + shifts),
        "logistic" if len(lines) == 1 else "one_vs_rest",
    )


ESTIMATOR = EstimatorSpec(
    name="linear_svm",
    class_path="sklearn.calibration:CalibratedClassifierCV",
    wraps={"estimator": "sklearn.svm:LinearSVC"},
    defaults={"method": "sigmoid", "ensemble": False, "cv": 3},
    parameters=(
        "cv",
        "ensemble",
        "estimator__C",
        "estimator__class_weight",
        "estimator__dual",
        "estimator__fit_intercept",
        "estimator__intercept_scaling",
        "estimator__loss",
        "estimator__max_iter",
        "estimator__multi_class",
        "estimator__penalty",
        "estimator__random_state",
        "estimator__tol",
        "estimator__verbose",
        "method",
        "n_jobs",
    ),
    linear_form=_linear_form,
    foreign_types=(
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        # One number, for ``method: temperature``.
        "sklearn.calibration._TemperatureScaling",
    ),
)
