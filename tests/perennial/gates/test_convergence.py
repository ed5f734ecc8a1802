"""A fit that was cut off is kept out where a problem asks for one that has converged."""

from __future__ import annotations

import pytest

from perennial.config.problem import Problem
from perennial.gates.base import FitEnd
from tests.perennial.gates.gated import PRODUCTION, asking, named, verdict


def test_a_fit_that_was_cut_off_is_kept_out(problem: Problem) -> None:
    found = verdict(
        asking(problem, converged=True), PRODUCTION, None, {"convergence": FitEnd(100, 100)}
    )

    assert found.outcome == "kept"
    assert not named(found, "convergence").passed
    assert "convergence: 100 of 100 iterations, required a fit that ends before" in found.reason


@pytest.mark.parametrize(
    "end", [FitEnd(99, 100), FitEnd(0, None)], ids=["in time", "no iterations"]
)
def test_a_fit_that_is_done_is_promoted(problem: Problem, end: FitEnd) -> None:
    found = verdict(asking(problem, converged=True), PRODUCTION, None, {"convergence": end})

    assert found.outcome == "promoted"


def test_a_fit_of_which_nobody_knows_how_it_ended_is_kept_out(problem: Problem) -> None:
    found = verdict(asking(problem, converged=True), PRODUCTION, None, {})

    assert "convergence: not measured" in found.reason


def test_nothing_is_asked_by_default(problem: Problem) -> None:
    found = verdict(asking(problem), PRODUCTION, None, {"convergence": FitEnd(100, 100)})

    assert found.outcome == "promoted"
    assert "convergence" not in {gate.name for gate in found.gates}
