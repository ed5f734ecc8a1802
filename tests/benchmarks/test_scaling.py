"""What the benchmark of sizes says of its figures."""

from __future__ import annotations

import pytest

from benchmarks.scaling.retraining import exponents


def test_exponents_are_those_of_powers() -> None:
    figures = [
        {
            "documents": count,
            "seconds": 3.0 * count,
            "cpu": 0.1 * count**1.2,
            "peak_mb": 50.0 * count**0.5,
            "features_mb": 7.0,
        }
        for count in (1_000, 5_000, 40_000)
    ]

    found = exponents(figures)

    assert found == pytest.approx(
        {"seconds": 1.0, "cpu": 1.2, "peak_mb": 0.5, "features_mb": 0.0}, abs=1e-9
    )
    assert exponents(figures[:1]) == {}
