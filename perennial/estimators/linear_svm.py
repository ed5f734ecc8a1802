"""Estimators as candidates name them: those of scikit-learn that take more than their defaults."""

from __future__ import annotations

from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import LinearSVC


def calibrated_linear_svm() -> CalibratedClassifierCV:
    """Return a linear support vector machine with probabilities, not yet fitted.

    One machine is fitted on all samples, and its margins become log-odds by a line fitted on
    margins of samples that a machine had not seen (Platt, Probabilistic Outputs for Support Vector
    Machines, 1999): what comes out is linear again. Parameters of the machine begin with
    ``estimator__``.
    """
    return CalibratedClassifierCV(LinearSVC(), method="sigmoid", ensemble=False, cv=3)
