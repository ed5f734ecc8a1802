"""Drift that no retraining answers: a season that Production knows, and one sender alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from perennial.monitoring.comparison import Sample
from perennial.monitoring.drift_tests import DriftTest, numbers
from perennial.monitoring.explanations import earlier_period, one_sender

NOW = datetime(2026, 12, 20, tzinfo=UTC)
WINDOW = timedelta(days=30)
DRIFTED = {"price"}


def sample(
    prices: Sequence[float], at: Sequence[datetime] = (), senders: Sequence[str | None] = ()
) -> Sample:
    """Inputs of one number each."""
    count = len(prices)
    return Sample(
        pa.table({"price": pa.array(prices, pa.float64())}),
        np.full(count, "yes"),
        np.full(count, 0.9),
        np.full(count, None),
        np.array([each.replace(tzinfo=None) for each in at], "datetime64[us]") if at else None,
        np.array(senders, np.object_) if senders else None,
    )


def find(before: Sample, now: Sample) -> list[DriftTest]:
    """Compare the prices."""
    sides = [each.inputs["price"].to_numpy() for each in (before, now)]
    return [numbers("price", "documents", *sides, limit=0.1)]


def three_years(dear: Sequence[int]) -> Sample:
    """Documents of three years, ten a day, which are dear in some months."""
    days = [NOW - timedelta(days=day) for day in range(3 * 365, 0, -1)]
    at = [day + timedelta(hours=hour) for day in days for hour in range(10)]
    rng = np.random.default_rng(1)
    prices = [rng.normal(50 if each.month in dear else 10) for each in at]
    return sample(prices, at)


@pytest.fixture
def december() -> Sample:
    """What has come now: everything is dear."""
    return sample(np.random.default_rng(2).normal(50, size=250).tolist())


def _explained(before: Sample, now: Sample, least: int = 200) -> str | None:
    since = NOW - WINDOW
    return earlier_period(
        before, DRIFTED, lambda part: find(part, now), since=since, window=WINDOW, least=least
    )


def test_a_season_that_was_learned_a_year_ago_is_no_new_drift(december: Sample) -> None:
    before = three_years(dear=[11, 12])

    assert find(before, december)[0].size > 0.5
    why = _explained(before, december)

    assert why == "it was like this from 2025-11-20 to 2025-12-20, which was learned"


def test_what_comes_back_out_of_season_is_no_new_drift_either(december: Sample) -> None:
    # In September, too, though in no December.
    before = three_years(dear=[8, 9])

    why = _explained(before, december)

    assert why is not None
    assert "it was like this from 2026-08-22 to 2026-09-21" in why


def test_what_has_never_been_so_is_drift(december: Sample) -> None:
    assert _explained(three_years(dear=[]), december) is None


def test_a_period_of_few_documents_explains_nothing(december: Sample) -> None:
    assert _explained(three_years(dear=[11, 12]), december, least=400) is None


def test_without_times_nothing_is_known_of_seasons(december: Sample) -> None:
    assert _explained(sample([50.0] * 300), december) is None
    assert _explained(sample([]), december) is None


@pytest.mark.parametrize(
    ("senders", "named"),
    [
        pytest.param(["spam"] * 150 + [f"s{n % 50}" for n in range(250)], True, id="one of many"),
        pytest.param([f"s{n % 50}" for n in range(400)], False, id="all of them a little"),
        pytest.param(["spam"] * 380 + ["other"] * 20, False, id="nobody else is left to compare"),
        pytest.param([None] * 400, False, id="nobody says who it is"),
    ],
)
def test_who_alone_sends_something_else_is_named(senders: list[str | None], named: bool) -> None:
    rng = np.random.default_rng(3)
    prices = [*rng.normal(50, size=150), *rng.normal(10, size=250)]
    before = sample(rng.normal(10, size=1_000).tolist())

    why = one_sender(before, sample(prices, senders=senders), DRIFTED, find, least=200)

    assert (why is not None) == named
    if why is not None:
        assert why.startswith("it comes from one sender, request key spam, who sent 150 of 400")


def test_without_senders_nobody_is_named() -> None:
    found = sample([50.0] * 300)

    assert one_sender(found, found, DRIFTED, find, least=200) is None
