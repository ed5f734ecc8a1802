"""Calibration: probabilities that are as often right as they say, and proof that they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

# Below it the order of the documents would no longer be that of the model.
_LEAST_SLOPE = 1e-6


@dataclass(frozen=True)
class Calibration:
    """``softmax(slope * scores + offsets)`` in place of ``softmax(scores)``.

    With two classes that is the sigmoid of Platt (Probabilistic Outputs for Support Vector
    Machines, 1999; compared by Niculescu-Mizil and Caruana, Predicting Good Probabilities With
    Supervised Learning, ICML 2005). With more it is temperature scaling with one offset per class
    (Alexandari et al., Maximum Likelihood with Bias-Corrected Calibration, ICML 2020).

    Attributes
    ----------
    slope : float
        Above 0; less than 1 makes probabilities less extreme.
    offsets : tuple of float
        One per class; the first is 0.
    """

    slope: float
    offsets: tuple[float, ...]

    def apply(self, scores: Floats) -> Floats:
        """Return calibrated probabilities for scores, which are log-probabilities or as good."""
        return probabilities_of(self.slope * scores + np.array(self.offsets))


@dataclass(frozen=True)
class Calibrated:
    """A calibration that was tried: the Brier scores without and with it, cross-fitted.

    Attributes
    ----------
    before, after : float
        Mean squared distance between probabilities and truth; halved for two classes.
    calibration : Calibration or None
        None when it did not help.
    """

    before: float
    after: float
    calibration: Calibration | None


def probabilities_of(scores: Floats) -> Floats:
    """Return the probabilities that scores mean, shape (n_documents, n_classes)."""
    found: Floats = softmax(scores, axis=1)
    return found


def fit_calibration(scores: Floats, truth: Codes) -> Calibration:
    """Fit a calibration by maximum likelihood, with Platt's targets.

    They are a little less than 1 for the true class and a little more than 0 for the others (as if
    one more document of each class had been seen), so that classes which the scores separate
    without error do not drive the slope to infinity.

    Parameters
    ----------
    scores : ndarray, shape (n_documents, n_classes)
        Out-of-fold, each row up to a constant the logarithms of the probabilities.
    truth : ndarray of int, shape (n_documents,)
        The class of each document.
    """
    from scipy.optimize import minimize

    n_classes = scores.shape[1]
    sizes = np.bincount(truth, minlength=n_classes)[truth]
    targets = np.repeat(1 / (sizes + n_classes), n_classes).reshape(-1, n_classes)
    targets[np.arange(len(truth)), truth] = (sizes + 1) / (sizes + n_classes)
    # Scores of naive Bayes are in the hundreds: the search is for a slope near 1.
    centred = scores - scores.mean(axis=1, keepdims=True)
    scale = max(float(centred.std()), _LEAST_SLOPE)
    scaled = centred / scale

    def loss(parameters: Floats) -> tuple[float, Floats]:
        outputs = parameters[0] * scaled + np.append(0.0, parameters[1:])
        logs = log_softmax(outputs, axis=1)
        errors = (np.exp(logs) - targets) / len(truth)
        gradient = np.append((errors * scaled).sum(), errors.sum(axis=0)[1:])
        return float(-(targets * logs).sum() / len(truth)), gradient

    bounds = [(_LEAST_SLOPE * scale, None)] + [(None, None)] * (n_classes - 1)
    start = np.append(1.0, np.zeros(n_classes - 1))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-12)
    return Calibration(float(found.x[0]) / scale, (0.0, *found.x[1:].tolist()))


def calibrate(scores: Floats, truth: Codes, *, folds: int, seed: int) -> Calibrated:
    """Return a calibration if it makes documents that it was not fitted on more probable.

    A calibration always looks good on the documents that it was fitted on. So it is fitted without
    each fold in turn and judged on that fold, and it is used only when the mean gain in squared
    error is more than one standard error of that mean (paired, document by document): what has
    nothing to mend is left alone.

    Parameters
    ----------
    scores, truth
        As `fit_calibration` takes them; every class at least `folds` times.
    folds : int
        In how many parts the documents are divided.
    seed : int
        Of the division.
    """
    # The service uses calibrations and never makes one: it does not wait for these imports.
    from sklearn.model_selection import StratifiedKFold

    mended = np.empty_like(scores)
    for fitted, judged in StratifiedKFold(folds, shuffle=True, random_state=seed).split(
        scores, truth
    ):
        mended[judged] = fit_calibration(scores[fitted], truth[fitted]).apply(scores[judged])
    before = _squares(probabilities_of(scores), truth)
    after = _squares(mended, truth)
    gain = before - after
    improves = gain.mean() > gain.std() / np.sqrt(len(gain))
    return Calibrated(
        float(before.mean()),
        float(after.mean()),
        fit_calibration(scores, truth) if improves else None,
    )


def _squares(probabilities: Floats, truth: Codes) -> Floats:
    """Return the squared error of each document; see the metric ``brier``."""
    errors = probabilities.copy()
    errors[np.arange(len(truth)), truth] -= 1
    squares: Floats = (errors**2).sum(axis=1) / (2 if errors.shape[1] == 2 else 1)
    return squares
