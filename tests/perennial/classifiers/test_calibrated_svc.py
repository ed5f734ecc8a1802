"""The support vector machine that gives probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.svm import SVC
from skops.io import dumps, get_untrusted_types, loads

from perennial.classifiers.calibrated_svc import CalibratedSVC
from perennial.registry.artifact import TRUSTED_TYPES


def test_its_labels_are_mostly_those_of_the_machine_and_a_file_gives_it_back() -> None:
    data, target = load_iris(return_X_y=True)
    labels = np.array(["setosa", "versicolor", "virginica"])[target]
    model = CalibratedSVC(C=2.0).fit(data, labels)

    stored = dumps(model)
    found = loads(stored, trusted=list(TRUSTED_TYPES))

    assert set(get_untrusted_types(data=stored)) <= set(TRUSTED_TYPES)
    np.testing.assert_array_equal(found.predict_proba(data), model.predict_proba(data))
    assert np.mean(model.predict(data) == SVC(C=2.0).fit(data, labels).predict(data)) > 0.97


def test_a_class_with_one_sample_is_refused_with_the_counts() -> None:
    with pytest.raises(ValueError, match=r"it got \{'a': 2, 'b': 1\}"):
        CalibratedSVC().fit([[0.0], [1.0], [2.0]], ["a", "a", "b"])
