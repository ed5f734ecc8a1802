"""The years, the coverage and the ratchet are measured as they say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.trust import canaries, coverage, ratchet, real_year, thresholds, years
from benchmarks.trust.years import DAYS, QUALITY, Story, Year, simulate
from perennial.config.loader import load_problem
from perennial.gates.confirmation import Confirm
from tests.perennial.conftest import PROBLEMS


def _year(quality: float, confirm: Confirm, seed: int = 1, holdout: int = 1_000) -> Year:
    story = Story("", holdout, 3, lambda _: np.full(DAYS, quality))
    return simulate(story, confirm, np.random.default_rng(seed))


@pytest.mark.parametrize("confirm", ["none", "next", "fresh"])
def test_what_is_much_better_is_found_and_what_is_much_worse_is_not(confirm: Confirm) -> None:
    better, worse = _year(QUALITY + 0.05, confirm), _year(QUALITY - 0.05, confirm)

    assert (better.quality, worse.quality) == (QUALITY + 0.05, QUALITY)
    assert worse.promotions == 0 < better.promotions


def test_a_confirmation_lets_fewer_worse_versions_through_than_none() -> None:
    def worse(confirm: Confirm) -> int:
        found = (_year(QUALITY - 0.005, confirm, seed, holdout=300) for seed in range(40))
        return sum(year.quality < QUALITY for year in found)

    assert worse("next") < worse("none") / 2


def test_the_figure_of_production_is_what_the_holdout_says_and_the_truth_is_known() -> None:
    row = years._row(
        Story("equal", 1_000, 3, lambda _: np.full(DAYS, QUALITY)),
        "none",
        [
            Year(promotions=2, quality=QUALITY, figure=QUALITY + 0.01),
            Year(promotions=0, quality=QUALITY - 0.005, figure=QUALITY - 0.005),
        ],
    )

    assert (row["worse"], row["promotions"], row["years"]) == (0.5, 1.0, 2)
    assert row["figure_mean"] == pytest.approx(0.005)
    assert row["worse_high"] > 0.9


def test_models_of_the_coverage_are_equally_good_and_differ() -> None:
    world = coverage.make_world(0.03, np.random.default_rng(2))

    shares = [float((each.predicted == each.truth).mean()) for each in (world.one, world.other)]
    assert shares[0] == pytest.approx(shares[1], abs=0.003)
    assert world.one.truth.mean() == pytest.approx(0.03, abs=0.002)
    assert 0.01 < (world.one.predicted != world.other.predicted).mean() < 0.2


def test_intervals_of_a_metric_hold_what_is_true_of_all_documents() -> None:
    rng = np.random.default_rng(3)
    world = coverage.make_world(0.5, rng)

    held = dict(coverage._single(world, [world.sample(100, rng) for _ in range(30)], seed=1))

    assert held["accuracy"] >= 0.9


def test_a_budget_ends_a_series_of_small_steps_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratchet, "DAYS", 40)
    problem = load_problem(PROBLEMS / "sentiment.yaml")

    row = ratchet._year(problem, 0.001, np.random.default_rng(4))

    assert row["lost"] <= ratchet.BUDGET
    assert row["lost"] == pytest.approx(row["promotions"] * ratchet.LOSS)


def test_a_figure_is_corrected_by_documents_since_and_until_then_by_what_may_be_chance() -> None:
    story = Story("", 1_000, 3, lambda _: np.full(DAYS, QUALITY))
    right = np.ones(1_000 + 3 * DAYS, np.bool_)
    right[1_000 + 3 * 100 :] = False
    side = years.Side(QUALITY, right, right[:0])

    assert years._corrected(story, side, years.Claim(100, 0.95, 0.01)) == 0.0
    assert years._corrected(story, side, years.Claim(DAYS, 0.95, 0.01)) == pytest.approx(0.94)


@pytest.mark.parametrize(
    ("fall", "labels", "ends"),
    [(0.05, 1, {"refused"}), (0.05, 500, {"taken back"}), (0.0, 500, {"promoted", "taken back"})],
)
def test_no_canary_that_is_worse_by_what_must_be_seen_is_promoted(
    fall: float, labels: int, ends: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canaries, "FALLS", (fall,))
    monkeypatch.setattr(canaries, "LABELS_A_DAY", (labels,))
    problem = load_problem(PROBLEMS / "sentiment.yaml")

    (row,) = canaries.measure(problem, seed=1, rollouts=2)

    assert {end for end in ("refused", "taken back", "promoted") if row.get(end)} <= ends


def test_thresholds_are_judged_on_documents_that_nobody_has_learned_from() -> None:
    truth = np.repeat([0, 1], 5_000)

    known, fresh = thresholds._draw(truth, np.random.default_rng(1))

    assert not np.isin(known, fresh).any()
    assert (len(known), len(fresh)) == (thresholds.DOCUMENTS, thresholds.FRESH)
    assert truth[known].sum() == thresholds.POSITIVES
    assert truth[fresh].mean() == pytest.approx(thresholds.POSITIVES / thresholds.DOCUMENTS)


def test_no_review_that_a_promotion_is_judged_on_ever_arrives() -> None:
    rows, fresh = real_year.reviews()

    assert len(fresh) == real_year.FRESH
    assert len(rows) >= real_year.FIRST + (real_year.DAYS - 1) * real_year.A_DAY
    texts = {row["text"] for row in rows}
    assert sum(text in texts for text in fresh["text"].to_pylist()) < 0.01 * len(fresh)


def test_a_year_says_how_many_promotions_were_truly_better(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gains = {"claimed": 0.8, "corrected": 0.79, "fresh": 0.78}
    days = [
        {"day": 0, "outcome": "promoted", "version": 1, "fresh": 0.7},
        {"day": 1, "outcome": "kept"},
        {"day": 2, "outcome": "promoted", "version": 3, "gain": 0.02, **gains},
        {"day": 3, "outcome": "promoted", "version": 4, "gain": -0.01, **gains},
    ]

    real_year.show(days)

    assert "2 promotions, 1 of them better" in capsys.readouterr().out
