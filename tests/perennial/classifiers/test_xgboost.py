"""Boosted trees: what XGBoost learns, in a file without pickles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from sklearn.datasets import load_iris
from skops.io import dumps, get_untrusted_types, loads

from perennial.classifiers.xgboost import XGBoostClassifier


def _flowers(classes: int) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    data = load_iris()
    chosen = data.target < classes
    return data.data[chosen], data.target_names[data.target[chosen]].astype(str)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_a_model_file_gives_back_the_same_trees_and_trusts_one_class_only(
    classes: int, form: Any
) -> None:
    x, y = _flowers(classes)
    model = XGBoostClassifier(n_estimators=5).fit(form(x), y)

    stored = dumps(model)
    found = loads(stored, trusted=get_untrusted_types(data=stored))

    assert get_untrusted_types(data=stored) == ["perennial.classifiers.xgboost.XGBoostClassifier"]
    np.testing.assert_array_equal(found.predict_proba(form(x)), model.predict_proba(form(x)))
    assert found.predict(form(x)).tolist() == model.predict(form(x)).tolist()


def test_it_answers_as_xgboost_itself_does() -> None:
    import xgboost

    x, y = _flowers(3)
    codes = np.unique(y, return_inverse=True)[1]
    theirs = xgboost.XGBClassifier(n_estimators=5, max_depth=3, tree_method="hist", n_jobs=1)

    np.testing.assert_allclose(
        XGBoostClassifier(n_estimators=5, max_depth=3).fit(x, y).predict_proba(x),
        theirs.fit(x, codes).predict_proba(x),
        atol=1e-6,
    )


def test_the_same_seed_gives_the_same_trees() -> None:
    x, y = _flowers(3)
    settings = {"n_estimators": 5, "subsample": 0.5, "colsample_bytree": 0.5, "random_state": 7}

    first, second = (XGBoostClassifier(**settings).fit(x, y).trees_ for _ in range(2))

    assert first == second
    assert XGBoostClassifier(**settings | {"random_state": 8}).fit(x, y).trees_ != first


@pytest.mark.parametrize("fitted_on", [np.asarray, sparse.csr_array])
def test_dense_and_sparse_inputs_get_the_same_answer(fitted_on: Any) -> None:
    x, y = _flowers(3)
    x = np.where(x < 1.5, 0, x)
    model = XGBoostClassifier(n_estimators=5).fit(fitted_on(x), y)

    np.testing.assert_array_equal(model.predict_proba(x), model.predict_proba(sparse.csr_array(x)))


@pytest.mark.parametrize("classes", [2, 3])
def test_contributions_add_up_to_the_log_odds(classes: int) -> None:
    x, y = _flowers(classes)
    model = XGBoostClassifier(n_estimators=5).fit(x, y)

    outputs = model.contributions(x).sum(axis=2)
    odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    expected = 1 / (1 + np.exp(-outputs[:, 0])) if classes == 2 else odds[:, 2] / odds.sum(axis=1)

    assert outputs.shape == (len(x), 1 if classes == 2 else 3)
    np.testing.assert_allclose(model.predict_proba(x)[:, -1], expected, atol=1e-6)


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="one class: 'setosa'"):
        XGBoostClassifier().fit([[1.0], [2.0]], ["setosa", "setosa"])
