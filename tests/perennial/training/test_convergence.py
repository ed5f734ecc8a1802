"""A fit that was cut off says so."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.svm import SVC, LinearSVC

from perennial.classifiers.nb_svm import NbSvm
from perennial.classifiers.threshold_classifier import ThresholdClassifier
from perennial.gates.base import FitEnd
from perennial.training.convergence import end_of_fit

RNG = np.random.default_rng(1)
LABELS = np.arange(120) % 3
COUNTS = RNG.poisson(1.0 + (np.arange(6) % 3 == LABELS[:, None]), (120, 6)).astype(np.float64)


def fitted(model: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(COUNTS, LABELS)


@pytest.mark.parametrize(
    "make",
    [
        lambda limit: LogisticRegression(max_iter=limit),
        lambda limit: OneVsRestClassifier(NbSvm(max_iter=limit)),
        lambda limit: CalibratedClassifierCV(LinearSVC(max_iter=limit), cv=3),
    ],
    ids=["logistic", "nb-svm", "calibrated"],
)
def test_a_fit_that_was_cut_off_has_not_converged_and_one_with_time_has(make: Any) -> None:
    short, long = end_of_fit(fitted(make(1))), end_of_fit(fitted(make(5_000)))

    assert short == FitEnd(1, 1)
    assert not short.converged
    assert long is not None
    assert long.converged


def test_a_threshold_hides_no_iterations() -> None:
    inner = fitted(LogisticRegression(max_iter=1))
    decided = ThresholdClassifier.from_fitted(inner, (0.2, 0.3, 0.5), None)

    assert end_of_fit(decided) == FitEnd(1, 1)


@pytest.mark.parametrize("model", [MultinomialNB(), SVC()], ids=["bayes", "svm"])
def test_what_has_no_limit_has_nothing_to_say(model: Any) -> None:
    assert end_of_fit(fitted(model)) == FitEnd(0, None)
