"""The picture of a problem's history: where each mark stands, for a template to draw as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from perennial.registry.client import Change
from perennial.registry.model_version import ModelVersion
from perennial.status.history import History, Measured, holdout

LIVE_METRIC = "accuracy"
_TOP, _BOTTOM, _LEFT, _RIGHT = 12.0, 78.0, 46.0, 14.0
_HEIGHT = 300.0
# Below the values: changes of Production, drift, and the dates.
_CHANGES, _DRIFT, _DATES = 56.0, 34.0, 10.0
_LABEL_PIXELS = 30.0
_PIXELS_PER_DATE = 110.0
_VALUES = 6
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_LEAST_SPAN = 0.02

Kind = Literal["promoted", "kept", "waiting"]


@dataclass(frozen=True)
class Tick:
    """A value or a date on an axis, and where."""

    at: float
    text: str


@dataclass(frozen=True)
class VersionMark:
    """A version on the holdout: a dot, and its interval from `low` to `high`."""

    x: float
    y: float
    low: float
    high: float
    kind: Kind
    title: str


@dataclass(frozen=True)
class ChangeMark:
    """A change of Production; the label is empty where there is no room for it."""

    x: float
    kind: Literal["promotion", "rollback"]
    label: str
    title: str


@dataclass(frozen=True)
class Segment:
    """A time for which one version was Production, at what it achieved on the holdout."""

    start: float
    end: float
    y: float


@dataclass(frozen=True)
class Line:
    """Live quality of one version: the points of a line, and those of the band around it."""

    points: str
    band: str
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    """Everything that is drawn, in pixels."""

    width: float
    height: float
    metric: str
    left: float
    right: float
    values: tuple[Tick, ...]
    dates: tuple[Tick, ...]
    versions: tuple[VersionMark, ...]
    segments: tuple[Segment, ...]
    changes: tuple[ChangeMark, ...]
    lines: tuple[Line, ...]
    fresh: tuple[Line, ...]
    drift: tuple[float, ...]
    changes_y: float
    drift_y: float
    dates_y: float
    summary: str


def draw(history: History, metric: str, now: datetime, width: float) -> Chart | None:
    """Return the picture of a history; None where no version has a value of the metric.

    Parameters
    ----------
    history : History
        What has become of the problem.
    metric : str
        The metric on the holdout; live quality is shown beside accuracy only.
    now : datetime
        The right end.
    width : float
        Pixels from side to side.
    """
    judged = [(each, found) for each in history.versions if (found := holdout(each, metric))]
    if not judged:
        return None
    watched = history.watched if metric == LIVE_METRIC else ()
    live, fresh = [each.live for each in watched], [each.fresh for each in watched]
    scale = _Scale.of(judged, [*live, *fresh], history.changes, now, width)
    known = {version.version: found for version, found in judged}
    return Chart(
        width=width,
        height=_HEIGHT,
        metric=metric,
        left=_LEFT,
        right=width - _RIGHT,
        values=tuple(scale.values()),
        dates=tuple(scale.dates()),
        versions=tuple(_mark(scale, version, found, history) for version, found in judged),
        segments=tuple(_segments(scale, history.changes, known, now)),
        changes=tuple(_changes(scale, history.changes)),
        lines=tuple(_line(scale, points) for points in live if points),
        fresh=tuple(_line(scale, points) for points in fresh if points),
        drift=tuple(
            scale.x(at)
            for each in history.watched
            for at in each.drift
            if scale.start <= at <= scale.end
        ),
        changes_y=_HEIGHT - _CHANGES,
        drift_y=_HEIGHT - _DRIFT,
        dates_y=_HEIGHT - _DATES,
        summary=_summary(judged, history, metric),
    )


@dataclass(frozen=True)
class _Scale:
    start: datetime
    end: datetime
    low: float
    high: float
    width: float

    @classmethod
    def of(
        cls,
        judged: Sequence[tuple[ModelVersion, Measured]],
        live: Iterable[Sequence[Measured]],
        changes: Sequence[Change],
        now: datetime,
        width: float,
    ) -> _Scale:
        points = [found for _, found in judged] + [point for line in live for point in line]
        times = [point.at for point in points] + [change.at for change in changes]
        bounds = [
            bound
            for point in points
            for bound in (point.low, point.value, point.high)
            if bound is not None
        ]
        low, high = min(bounds), max(bounds)
        room = max(0.08 * (high - low), (_LEAST_SPAN - (high - low)) / 2, 0.001)
        start, end = min(times), max(now, *times)
        margin = max((end - start) * 0.03, _HOUR / 60)
        return cls(start - margin, end + margin, low - room, high + room, width)

    def x(self, at: datetime) -> float:
        share = (at - self.start) / (self.end - self.start)
        return round(_LEFT + share * (self.width - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP), 1)

    def values(self) -> Iterator[Tick]:
        step = _round_step((self.high - self.low) / _VALUES)
        digits = max(0, -math.floor(math.log10(step)))
        for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1):
            yield Tick(self.y(number * step), f"{number * step:.{digits}f}")

    def dates(self) -> Iterator[Tick]:
        count = max(2, int((self.width - _LEFT - _RIGHT) / _PIXELS_PER_DATE))
        span = self.end - self.start
        pattern = "%H:%M" if span < _DAY else "%d %b %H:%M" if span < 3 * _DAY else "%d %b"
        if span > 300 * _DAY:
            pattern = "%b %Y"
        for number in range(count):
            at = self.start + span * ((number + 0.5) / count)
            yield Tick(self.x(at), at.strftime(pattern))


def _round_step(wanted: float) -> float:
    """Return the smallest of 1, 2, 5, 10 and so on that is as large as wanted."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= wanted * 0.999)


def _mark(scale: _Scale, version: ModelVersion, found: Measured, history: History) -> VersionMark:
    was_production = any(change.after == version.version for change in history.changes)
    kind: Kind = "promoted" if was_production else "waiting" if version.waits else "kept"
    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    between = "" if found.low is None else f" [{low:.3f}, {high:.3f}]"
    return VersionMark(
        scale.x(found.at),
        scale.y(found.value),
        scale.y(low),
        scale.y(high),
        kind,
        f"Version {version.version}, {found.at:%Y-%m-%d %H:%M} UTC: {found.value:.3f}{between}, "
        f"{version.verdict or 'no verdict'}",
    )


def _segments(
    scale: _Scale, changes: Sequence[Change], known: dict[int, Measured], now: datetime
) -> Iterator[Segment]:
    ends = [change.at for change in changes[1:]] + [now]
    for change, end in zip(changes, ends, strict=False):
        found = known.get(change.after)
        if found is not None:
            yield Segment(scale.x(change.at), scale.x(max(end, change.at)), scale.y(found.value))


def _changes(scale: _Scale, changes: Sequence[Change]) -> Iterator[ChangeMark]:
    # The newest matter most: they are labelled first.
    marks = []
    labelled = math.inf
    for change in reversed(changes):
        x = scale.x(change.at)
        has_room = labelled - x >= _LABEL_PIXELS
        labelled = x if has_room else labelled
        said = f"{change.kind} to version {change.after}"
        by = f" by {change.by}" if change.by else ""
        why = f": {change.why}" if change.why else ""
        title = f"{change.at:%Y-%m-%d %H:%M} UTC, {said}{by}{why}"
        marks.append(ChangeMark(x, change.kind, f"v{change.after}" if has_room else "", title))
    yield from reversed(marks)


def _line(scale: _Scale, points: Sequence[Measured]) -> Line:
    places = tuple((scale.x(point.at), scale.y(point.value)) for point in points)
    upper = [(scale.x(p.at), scale.y(p.value if p.high is None else p.high)) for p in points]
    lower = [(scale.x(p.at), scale.y(p.value if p.low is None else p.low)) for p in points]
    # A single measurement would be a line without a length.
    return Line(_joined(places), _joined([*upper, *reversed(lower)]), places[-1:])


def _joined(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in places)


def _summary(judged: Sequence[tuple[ModelVersion, Measured]], history: History, metric: str) -> str:
    last, found = judged[-1]
    rollbacks = sum(change.kind == "rollback" for change in history.changes)
    return (
        f"{metric} of {len(judged)} versions over time. The newest is version {last.version} with "
        f"{found.value:.3f}. Promotions: {len(history.changes) - rollbacks}, rollbacks: "
        f"{rollbacks}, times with drift: {sum(len(each.drift) for each in history.watched)}. The "
        "tables below have the same figures."
    )
