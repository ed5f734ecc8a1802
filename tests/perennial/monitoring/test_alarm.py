"""The alarm and live quality: when people are told, and how sure the figures are."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config.sections.monitoring import Monitoring
from perennial.monitoring.alarm import Alarm, advance
from perennial.monitoring.drift_tests import conclude, correctness
from perennial.monitoring.quality import estimate_accuracy, share_right
from tests.conftest import MIDNIGHT

EVERY = timedelta(minutes=15)
# Of each run: whether it finds drift, and whether a retraining is under way meanwhile.
RUNS = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60)


def _raised(runs: list[tuple[bool, bool]], monitoring: Monitoring) -> list[int]:
    """Return the positions of the runs in which the event is raised."""
    alarm: Alarm | None = None
    found = []
    for number, (drifted, retraining) in enumerate(runs):
        step = advance(
            alarm,
            version=1,
            drifted=drifted,
            retraining=retraining,
            now=MIDNIGHT + number * EVERY,
            monitoring=monitoring,
        )
        alarm = step.alarm
        found += [number] * step.raised
    return found


@given(runs=RUNS, needed=st.integers(1, 4), quiet=st.integers(0, 10))
def test_the_event_is_raised_only_after_enough_runs_outside_of_cool_down_and_retraining(
    runs: list[tuple[bool, bool]], needed: int, quiet: int
) -> None:
    raised = _raised(runs, Monitoring(runs=needed, cool_down=quiet * EVERY))

    for number in raised:
        latest = runs[max(0, number - needed + 1) : number + 1]
        assert len(latest) == needed
        assert all(drifted for drifted, _ in latest)
        assert not runs[number][1]
    assert all(later - earlier >= quiet for earlier, later in pairwise(raised))


def test_lasting_drift_is_raised_at_once_and_again_after_each_cool_down() -> None:
    always = [(True, False)] * 9

    assert _raised(always, Monitoring(cool_down=4 * EVERY)) == [0, 4, 8]


def test_a_retraining_that_is_under_way_delays_the_event_until_it_has_ended() -> None:
    runs = [(True, True), (True, True), (True, False)]

    assert _raised(runs, Monitoring()) == [2]


def test_another_production_version_starts_anew() -> None:
    earlier = Alarm(version=1, runs=5, raised_at=MIDNIGHT)

    step = advance(
        earlier,
        version=2,
        drifted=True,
        retraining=False,
        now=MIDNIGHT + EVERY,
        monitoring=Monitoring(runs=2),
    )

    assert step.alarm == Alarm(version=2, runs=1)
    assert not step.raised


@given(known=st.integers(1, 5000), data=st.data())
def test_the_interval_of_live_accuracy_holds_its_value_and_stays_a_share(
    known: int, data: st.DataObject
) -> None:
    right = data.draw(st.integers(0, known))

    found = share_right(right, known)

    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert found.low < found.high


def test_a_share_of_no_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="no answers"):
        share_right(0, 0)


def _answers(rng: np.random.Generator, count: int, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw what a model says that is surer than it should be: right with `p ** power`."""
    confidence = rng.uniform(0.5, 1, count)
    return confidence, rng.random(count) < confidence**power


@pytest.mark.slow
def test_the_estimate_finds_the_accuracy_on_easier_and_harder_documents_without_labels() -> None:
    rng = np.random.default_rng(1)
    confidence, right = _answers(rng, 4000, 2.0)
    pool, truth = _answers(rng, 40_000, 2.0)

    for chosen in (pool < 0.7, pool > 0.85):
        estimate = estimate_accuracy(confidence, right, pool[chosen][:3000], seed=3)

        actual = truth[chosen].mean()
        assert estimate.low - 0.01 < actual < estimate.high + 0.01
        assert abs(estimate.value - actual) < 0.03
        # What the model says of itself is far off, which is why it is calibrated first.
        assert abs(pool[chosen].mean() - actual) > 0.05


def _days_to_find(fall: float, *, days: int, seed: int, runs: int = 2) -> float | None:
    """Return after how many days of 100 labels a fall is raised, monitored eight times a day."""
    rng, monitoring = np.random.default_rng(seed), Monitoring(runs=runs)
    before = rng.random(1_000) < 0.85
    labels = rng.random(100 * days) < 0.85 - fall
    alarm = None
    for count in range(monitoring.min_documents, len(labels) + 1, 12):
        limit = monitoring.limits.accuracy_drop
        test = correctness("accuracy", "documents", before, labels[:count], limit)
        (found,) = conclude([test], monitoring.significance, monitoring.accuracy_significance)
        step = advance(
            alarm,
            version=1,
            drifted=found.drifted,
            near=found.near,
            retraining=False,
            now=MIDNIGHT + count * timedelta(minutes=14.4),
            monitoring=monitoring,
        )
        if step.raised:
            return count / 100
        alarm = step.alarm
    return None


def test_a_fall_of_seven_points_at_a_limit_of_five_is_raised_within_three_days_mostly() -> None:
    found = [_days_to_find(0.07, days=3, seed=seed) for seed in range(100)]

    # No test could: of 300 labels one standard error is two and a half points.
    assert sum(days is not None for days in found) >= 80


def test_without_a_fall_thirty_days_of_labels_seldom_raise_anything() -> None:
    found = [_days_to_find(0.0, days=30, seed=seed) for seed in range(60)]

    assert sum(days is not None for days in found) <= 4


def test_a_run_near_the_limit_between_two_above_it_does_not_begin_anew() -> None:
    monitoring, alarm, raised = Monitoring(runs=2), None, []
    for number, (drifted, near) in enumerate([(True, True), (False, True), (True, True)]):
        step = advance(
            alarm,
            version=1,
            drifted=drifted,
            near=near,
            retraining=False,
            now=MIDNIGHT + number * EVERY,
            monitoring=monitoring,
        )
        alarm = step.alarm
        raised.append(step.raised)

    assert raised == [False, False, True]


def test_being_near_the_limit_alone_raises_nothing() -> None:
    step = advance(
        None,
        version=1,
        drifted=False,
        near=True,
        retraining=False,
        now=MIDNIGHT,
        monitoring=Monitoring(),
    )

    assert (step.raised, step.alarm.runs) == (False, 0)
