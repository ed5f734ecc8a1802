"""The picture of a history can be drawn whatever has happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from deployments.console.chart import Chart, draw
from perennial.registry.history import Change
from perennial.registry.model_version import ModelVersion
from perennial.status.history import History, Measured, Watched

NOW = datetime(2026, 6, 1, tzinfo=UTC)
times = st.floats(0, 2000).map(lambda days: NOW - timedelta(days=days))
values = st.one_of(st.floats(0, 1), st.floats(-1e6, 1e6))
measured = st.builds(
    lambda at, value, width: Measured(at, value, value - width, value + width),
    times,
    values,
    st.floats(0, 10),
)
numbers = st.integers(1, 12)


def version(number: int, at: datetime, value: float) -> ModelVersion:
    return ModelVersion("reviews", number, "", {"perennial.holdout.accuracy": str(value)}, at)


histories = st.builds(
    History,
    st.lists(st.builds(version, numbers, times, values), max_size=12).map(tuple),
    st.lists(
        st.builds(
            Change,
            at=times,
            kind=st.sampled_from(["promotion", "rollback"]),
            before=st.none() | numbers,
            after=numbers,
        ),
        max_size=6,
    ).map(lambda changes: tuple(sorted(changes, key=lambda change: change.at))),
    st.lists(
        st.builds(
            Watched,
            numbers,
            st.lists(measured, max_size=5).map(tuple),
            st.lists(times, max_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    st.just({}),
)


def places(chart: Chart) -> list[tuple[float, float]]:
    """Every place at which something is drawn."""
    found = [(mark.x, y) for mark in chart.versions for y in (mark.y, mark.low, mark.high)]
    found += [(x, each.y) for each in chart.segments for x in (each.start, each.end)]
    found += [(change.x, chart.changes_y) for change in chart.changes]
    for line in chart.lines:
        for pair in f"{line.points} {line.band}".split():
            x, _, y = pair.partition(",")
            found.append((float(x), float(y)))
    found += [(x, chart.drift_y) for x in chart.drift]
    found += [(chart.left, tick.at) for tick in chart.values]
    return found + [(tick.at, chart.dates_y) for tick in chart.dates]


@given(histories, st.sampled_from([340.0, 960.0]))
def test_everything_is_inside_of_the_picture(history: History, width: float) -> None:
    chart = draw(history, "accuracy", NOW, width)

    if not history.versions:
        assert chart is None
        return
    assert chart is not None
    assert len(chart.versions) == len(history.versions)
    assert len(chart.changes) == len(history.changes)
    assert 1 <= len(chart.values) <= 15
    for x, y in places(chart):
        assert chart.left <= x <= chart.right
        assert 0 <= y <= chart.height


@given(histories)
def test_labels_of_changes_do_not_overlap_and_the_newest_has_one(history: History) -> None:
    chart = draw(history, "accuracy", NOW, 340.0)

    labelled = [] if chart is None else [each.x for each in chart.changes if each.label]
    assert all(later - earlier >= 30 for earlier, later in pairwise(labelled))
    if chart is not None and chart.changes:
        assert chart.changes[-1].label == f"v{history.changes[-1].after}"


def test_a_metric_that_no_version_has_is_not_drawn() -> None:
    history = History((version(1, NOW, 0.9),), (), (), {})

    assert draw(history, "f1", NOW, 960.0) is None
