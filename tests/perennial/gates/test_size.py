"""A challenger's registered file must be small enough."""

from __future__ import annotations

from perennial.config.problem import Problem
from tests.perennial.gates.gated import PRODUCTION, asking, named, verdict


def test_a_model_that_is_too_large_is_kept_out(problem: Problem) -> None:
    asked = asking(problem, size={"megabytes": 100})

    found = verdict(asked, PRODUCTION, None, {"size": 100_000_001})

    assert found.outcome == "kept"
    assert not named(found, "size").passed
    assert "size: 100.0 MB, required at most 100 MB" in found.reason


def test_a_model_within_its_budget_is_promoted(problem: Problem) -> None:
    asked = asking(problem, size={"megabytes": 100})

    assert verdict(asked, PRODUCTION, None, {"size": 100_000_000}).outcome == "promoted"


def test_a_size_that_was_not_measured_keeps_a_challenger_out(problem: Problem) -> None:
    found = verdict(asking(problem, size={"megabytes": 100}), PRODUCTION, None, {})

    assert found.outcome == "kept"
    assert not named(found, "size").passed
    assert "size: not measured" in found.reason
