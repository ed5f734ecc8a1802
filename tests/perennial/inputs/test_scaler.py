"""Numbers are scaled; what stands beside them stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from perennial.encoders.blocks import stored_whole
from perennial.inputs.encoder import FieldScaler

# Two numbers, and two indicators: the second is of a rare category.
MATRIX = np.array(
    [[10.0, 1.0, 1.0, 0.0], [20.0, 3.0, 1.0, 0.0], [30.0, 5.0, 0.0, 1.0], [40.0, 7.0, 1.0, 0.0]]
)


@pytest.mark.parametrize("build", [np.array, stored_whole])
def test_numbers_are_scaled_and_indicators_stay_as_they_are(build: type) -> None:
    scaled = FieldScaler(dense=2).fit_transform(build(MATRIX))

    found = scaled.toarray() if sparse.issparse(scaled) else scaled
    np.testing.assert_allclose(found[:, :2].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found[:, :2].std(axis=0), 1)
    np.testing.assert_array_equal(found[:, 2:], MATRIX[:, 2:])


def test_records_without_numbers_are_left_alone() -> None:
    scaled = FieldScaler(dense=0).fit_transform(MATRIX[:, 2:])

    np.testing.assert_array_equal(scaled, MATRIX[:, 2:])


def test_a_model_that_scaled_all_columns_still_does() -> None:
    stored = FieldScaler().fit(MATRIX)
    # So did models say how many numbers there are, and scaled a dense matrix whole.
    stored.dense = 2

    found = stored.transform(MATRIX)

    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found.std(axis=0), 1)
