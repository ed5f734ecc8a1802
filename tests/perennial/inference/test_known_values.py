"""What a model knows of each field: the categories it tells apart, and what a number mostly is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from perennial.encoders.ranges import usual_range
from perennial.inference.known_values import MOST_CATEGORIES, KnownValues, known_values
from perennial.inputs.encoder import FieldEncoder, FieldReader
from tests.small_models import fit_small

FIELDS = {"colour": "category", "size": "number", "on": "date", "note": "text", "new": "boolean"}
RECORDS = [
    {"colour": colour, "size": size, "on": None, "note": "a b", "new": True}
    for colour, size in zip(["red", "blue", None] * 40, range(120), strict=True)
]


def _fitted(categories: str) -> Pipeline:
    pipeline = Pipeline(
        [
            ("reader", FieldReader(FIELDS)),
            ("encoder", FieldEncoder(categories=categories)),
            ("estimator", LogisticRegression()),
        ]
    )
    columns = pipeline[0].fit_transform(RECORDS)
    pipeline[1].fit(columns)
    return pipeline


@pytest.mark.parametrize("categories", ["one_hot", "target"])
def test_categories_and_numbers_are_known_however_they_are_encoded(categories: str) -> None:
    known = known_values(_fitted(categories))

    assert known["colour"] == KnownValues(("blue", "red"))
    size = known["size"]
    assert (size.typical, size.low, size.high) == (59.5, pytest.approx(1.19), pytest.approx(117.81))
    assert "note" not in known


def test_a_model_that_is_older_than_ranges_has_none() -> None:
    model = _fitted("one_hot")
    del model[1].usual_

    assert known_values(model)["size"] == KnownValues(typical=59.5)


def test_a_model_of_texts_has_no_fields(snippets: list[tuple[str, int]]) -> None:
    assert known_values(fit_small(snippets[:200])) == {}


def test_very_many_categories_are_not_listed() -> None:
    model = _fitted("one_hot")
    values = [f"value {number:05d}" for number in range(2 * MOST_CATEGORIES)]
    model[1].encoders_["colour"].values_ = values

    assert known_values(model)["colour"].categories == tuple(values[:MOST_CATEGORIES])


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=200))
def test_a_usual_range_lies_within_what_was_seen(values: list[float]) -> None:
    low, high = usual_range(np.array(values)[:, None])[:, 0]

    seen = [value for value in values if not np.isnan(value)]
    if not seen:
        assert np.isnan(low)
        assert np.isnan(high)
    else:
        assert min(seen) <= low <= high <= max(seen)
