"""The support vector machine that gives probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
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


@pytest.mark.parametrize("make", [np.array, sparse.csr_array])
def test_the_only_sample_of_a_class_is_learned_from(make: type) -> None:
    data = np.concatenate([np.linspace(0, 1, 12), [9.0]])[:, None]
    labels = ["a"] * 6 + ["b"] * 6 + ["c"]

    model = CalibratedSVC().fit(make(data), labels)

    probabilities = model.predict_proba(make([[0.0], [1.0], [9.0]]))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert list(model.predict(make([[0.0], [1.0], [9.0]]))) == ["a", "b", "c"]
