"""Every classifier of our own keeps the contract of scikit-learn."""

from __future__ import annotations

from importlib import import_module
from inspect import getmembers, isclass
from pkgutil import iter_modules
from typing import Any

import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from perennial import classifiers
from perennial.classifiers.calibrated_svc import CalibratedSVC
from perennial.classifiers.nb_svm import NbSvm
from perennial.classifiers.stacked import StackedClassifier
from perennial.classifiers.threshold_classifier import ThresholdClassifier
from perennial.classifiers.xgboost import XGBoostClassifier

# Small, as each is fitted some hundred times.
OURS = [
    CalibratedSVC(folds=2),
    NbSvm(),
    StackedClassifier(make_pipeline(LogisticRegression()), width=1),
    ThresholdClassifier(LogisticRegression()),
    XGBoostClassifier(n_estimators=5),
]


# All checks apply but those that scikit-learn itself skips by the tags of an estimator: NbSvm has
# none for more than two classes (`multi_class`) and no score on blobs, of which every feature
# occurs in every sample (`poor_score`); none of ours computes in array libraries other than NumPy.
@pytest.mark.slow
@parametrize_with_checks(OURS)
def test_it_keeps_the_contract_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def test_no_classifier_is_left_out() -> None:
    modules = [
        import_module(f"{classifiers.__name__}.{m.name}")
        for m in iter_modules(classifiers.__path__)
    ]
    found = {
        kind
        for module in modules
        for _, kind in getmembers(module, isclass)
        if issubclass(kind, BaseEstimator) and kind.__module__ == module.__name__
    }

    assert found == {type(each) for each in OURS}
