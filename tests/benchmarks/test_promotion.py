"""The simulated retrainings are what they claim: equal, or better by exactly what is said."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.promotion import Population, draw, weak_share


@pytest.fixture(scope="module")
def population() -> Population:
    """Four thousand documents, two fits of unequal quality by chance, and a weak model."""
    rng = np.random.default_rng(1)
    truth = np.arange(4_000) % 2

    def model(rate: float) -> np.ndarray:
        right = rng.random(len(truth)) < rate
        positive = np.where(right, truth, 1 - truth)
        return np.stack([1.0 - positive, positive], axis=1)

    return Population(
        ("no", "yes"),
        truth,
        np.stack([model(0.91), model(0.89)]),
        weak=model(0.8),
        traits=pa.table({"length": rng.integers(20, 3_000, len(truth))}),
    )


@pytest.mark.parametrize("gain", [0.0, 0.005, 0.02])
def test_over_many_retrainings_the_challenger_is_better_by_the_gain_that_is_simulated(
    gain: float, population: Population
) -> None:
    rng, rows = np.random.default_rng(2), np.arange(len(population.truth))
    share = weak_share(population, gain)

    pairs = [draw(population, rows, share, rng) for _ in range(400)]

    gains = [population.accuracy(one) - population.accuracy(other) for one, other in pairs]
    error = np.std(gains) / np.sqrt(len(gains))
    assert abs(np.mean(gains) - gain) <= 4 * error
    # The two are never the same model: a retraining has something to decide.
    assert all((one != other).any() for one, other in pairs)


def test_a_gain_that_the_weak_model_cannot_give_is_refused(population: Population) -> None:
    with pytest.raises(ValueError, match="not worse than the others by 30 points"):
        weak_share(population, 0.3)
