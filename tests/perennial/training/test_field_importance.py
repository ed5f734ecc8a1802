"""What fields are worth: shuffled values cost what the model knew by them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.metrics import MetricName, Predictions
from perennial.training.field_importance import field_importances

CLASSES = ("no", "yes")


def _records(rows: int, seed: int = 0) -> tuple[pa.StructArray, np.ndarray]:
    rng = np.random.default_rng(seed)
    says, noise = rng.normal(size=rows), rng.normal(size=rows)
    holes = pa.array([None if n % 7 == 0 else value for n, value in enumerate(noise)])
    records = pa.StructArray.from_arrays([holes, pa.array(says)], ["noise", "says"])
    return records, (says > 0).astype(np.int64)


def _by_sign(truth: np.ndarray):
    """A model that looks at one field alone."""

    def say(records: pa.StructArray, places: np.ndarray) -> Predictions:
        score = records.field("says").to_numpy(zero_copy_only=False)
        yes = np.where(score > 0, 0.9, 0.1)
        return Predictions(
            CLASSES, truth[places], (yes > 0.5).astype(np.int64), np.column_stack([1 - yes, yes])
        )

    return say


@pytest.mark.parametrize("metric", ["accuracy", "f1", "log_loss"])
def test_the_field_that_decides_comes_first_and_noise_costs_nothing(metric: MetricName) -> None:
    records, truth = _records(600)

    first, second = field_importances(metric, records, _by_sign(truth), seed=0)

    assert (first.field, second.field) == ("says", "noise")
    assert first.loss > 0.3
    assert (second.loss, second.deviation) == (0.0, 0.0)


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 30))
def test_the_same_seed_finds_the_same(seed: int, rows: int) -> None:
    records, truth = _records(rows)

    found = [field_importances("accuracy", records, _by_sign(truth), seed=seed) for _ in range(2)]

    assert found[0] == found[1]


def test_of_many_documents_some_are_looked_at() -> None:
    records, truth = _records(5_000)
    asked = []

    def say(some: pa.StructArray, places: np.ndarray) -> Predictions:
        asked.append(len(some))
        return _by_sign(truth)(some, places)

    field_importances("accuracy", records, say, seed=1)

    assert set(asked) == {1_000}
