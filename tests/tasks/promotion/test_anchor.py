"""Versions that are not worse than the one before may not sink below the best one so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.tasks.promotion.test_confirm import open_shop  # noqa: F401 - a fixture
from tests.tasks.promotion.test_promote import Shop

NOT_WORSE = {"confirm": "none", "not_worse": {"margin": 0.3, "budget": 0.4}}


def test_the_best_version_stays_the_measure_until_one_is_proved_to_be_better(
    open_shop: Callable[..., Shop],  # noqa: F811 - the fixture
) -> None:
    shop = open_shop(600, **NOT_WORSE)
    shop.promote(*shop.challenger("good"))
    assert shop.registry.version("reviews", 1).anchor == 1

    worse = (shop := open_shop(300, **NOT_WORSE)).challenger("weak")
    step = shop.promote(*worse)
    assert (step.outcome, step.anchor) == ("promoted", 1)

    again = (shop := open_shop(300, **NOT_WORSE)).challenger("weak")
    second = shop.promote(*again)

    assert second.anchor == 1
    assert any(gate.name.startswith("not worse than version 1, the") for gate in second.gates)
    assert shop.registry.version("reviews", 3).anchor == 1


@pytest.mark.parametrize("budget", [0.001, 0.02])
def test_a_second_step_down_is_kept_where_the_budget_is_spent(
    budget: float,
    open_shop: Callable[..., Shop],  # noqa: F811 - the fixture
) -> None:
    shop = open_shop(600, **NOT_WORSE)
    shop.promote(*shop.challenger("good"))
    shop = open_shop(300, **NOT_WORSE)
    assert shop.promote(*shop.challenger("weak")).outcome == "promoted"

    tight: dict[str, Any] = {"confirm": "none", "not_worse": {"margin": budget, "budget": budget}}
    shop = open_shop(300, **tight)
    found = shop.promote(*shop.challenger("weak"))

    assert found.outcome == "kept"
    assert "not worse than version 1, the best so far" in found.reason
