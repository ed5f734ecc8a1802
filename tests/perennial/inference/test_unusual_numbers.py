"""Unusual numbers: an answer says when a number is far from those that the model has learned."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from perennial.inference.tabular import TabularPredictor
from perennial.inputs.encoder import FieldEncoder, FieldReader
from perennial.reasons import WarningCode

FIELDS = {"age": "number", "siblings": "number"}
# Nearly nobody has siblings aboard: of a range without width nothing is far.
RECORDS = [{"age": float(age % 80), "siblings": float(age == 7)} for age in range(400)]


@pytest.fixture(scope="module")
def predictor() -> TabularPredictor:
    """A model of passengers' ages, most of which are between 0 and 79."""
    model = Pipeline(
        [
            ("reader", FieldReader(FIELDS)),
            ("encoder", FieldEncoder()),
            ("estimator", LogisticRegression()),
        ]
    )
    return TabularPredictor(
        model.fit(RECORDS, ["old" if r["age"] > 40 else "young" for r in RECORDS])
    )


@pytest.mark.parametrize("age", [0.0, 79.0, 95.0, -20.0, 150.0, None])
def test_a_number_near_those_of_training_is_answered_without_a_warning(
    predictor: TabularPredictor, age: float | None
) -> None:
    codes = {each.code for each in predictor.warnings({"age": age, "siblings": 3.0})}

    assert WarningCode.UNUSUAL_NUMBER not in codes


@pytest.mark.parametrize("age", [500.0, -300.0, 1e30])
def test_a_number_far_from_those_of_training_is_answered_with_a_warning(
    predictor: TabularPredictor, age: float
) -> None:
    given: dict[str, Any] = {"age": age, "siblings": 0.0}

    (warning,) = predictor.warnings(given)
    assessed = predictor.assess([given])

    assert (warning.code, warning.field) == (WarningCode.UNUSUAL_NUMBER, "age")
    assert "far from the numbers of training, which are mostly 0 to 79" in warning.why
    assert assessed.known == [0.5]
