"""The page of a monitor report: one self-contained HTML file, for light and dark screens."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from perennial.commands import counted
from perennial.config.problem import Problem
from perennial.metrics import Interval
from perennial.monitoring.drift_tests import Column, Of
from perennial.monitoring.quality import share_right
from perennial.plots import monitoring as monitor_plots
from tasks.monitoring.summary import (
    advice,
    drift_table,
    duration,
    freshness_table,
    headline,
    quality_table,
)

if TYPE_CHECKING:
    from tasks.monitoring.result import MonitorResult

_TEMPLATE = "monitor.html.jinja"
# Answers of a longer time are drawn by the day.
_BY_THE_HOUR = timedelta(days=2)
_PICTURES = 4
_WORDS_SHOWN = 12


@dataclass(frozen=True)
class _Card:
    """One figure to see at first glance."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class _Picture:
    title: str
    svg: str


def page(problem: Problem, monitored: MonitorResult) -> str:
    """Return the report of a run as an HTML page that needs nothing beside itself."""
    environment = Environment(
        loader=PackageLoader(__package__, package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drift = monitored.drift
    return environment.get_template(_TEMPLATE).render(
        problem=problem,
        monitored=monitored,
        headline=headline(problem, monitored),
        advice=advice(problem, monitored),
        cards=_cards(monitored),
        drift=drift_table(monitored),
        quality=quality_table(monitored),
        freshness=freshness_table(monitored),
        sizes=monitor_plots.sizes(drift.tests) if drift.tests else "",
        accuracy=_accuracy(monitored),
        pictures=_pictures(monitored),
    )


def _cards(monitored: MonitorResult) -> list[_Card]:
    quality, ages = monitored.quality, monitored.freshness
    version = monitored.reference.production.version
    live = [each for each in quality.live if each.version == version]
    cards = []
    if live:
        longest = max(live, key=lambda each: each.look_back)
        cards.append(
            _Card(
                "live accuracy, by feedback",
                f"{longest.accuracy.value:.1%}",
                f"{_range(longest.accuracy)}, {counted(longest.known, 'answer')}",
            )
        )
    if quality.documents is not None:
        cards.append(
            _Card(
                "accuracy on recent documents",
                f"{quality.documents.value:.1%}",
                _range(quality.documents),
            )
        )
    if quality.holdout is not None:
        cards.append(
            _Card(
                "accuracy on the holdout", f"{quality.holdout.value:.1%}", _range(quality.holdout)
            )
        )
    age = "unknown" if ages.production is None else duration(ages.production)
    newest = "none" if ages.newest_document is None else f"{duration(ages.newest_document)} ago"
    return [
        *cards,
        _Card("Production", f"version {version}", f"for {age}"),
        _Card("recent documents", f"{monitored.recent.arrived:,}", f"newest {newest}"),
    ]


def _range(found: Interval) -> str:
    return f"{found.low:.1%} to {found.high:.1%}"


def _accuracy(monitored: MonitorResult) -> str:
    hours = monitored.quality.hours
    if not hours:
        return ""
    by_hour = hours[-1].start - hours[0].start <= _BY_THE_HOUR
    counts: dict[int, dict[datetime, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for hour in hours:
        start = hour.start if by_hour else hour.start.replace(hour=0)
        counts[hour.version][start][0] += hour.right
        counts[hour.version][start][1] += hour.known
    return monitor_plots.accuracy(
        {
            version: [(start, share_right(*found)) for start, found in sorted(times.items())]
            for version, times in sorted(counts.items())
        },
        monitored.quality.holdout,
        monitored.reference.production.version,
    )


def _pictures(monitored: MonitorResult) -> list[_Picture]:
    """Draw the words and the numbers of both comparisons, those that changed most first."""
    reach = {(test.of, test.name): test.reach for test in monitored.drift.tests}
    pictures = []
    for comparison in monitored.drift.comparisons:
        if comparison.words:
            svg = monitor_plots.words(comparison.words[:_WORDS_SHOWN])
            pictures.append(_Picture(f"Words of {comparison.of}", svg))

        def rank(column: Column, of: Of = comparison.of) -> float:
            return -reach[of, column.name]

        pictures += [
            _Picture(
                f"{column.name.replace('_', ' ').capitalize()} of {comparison.of}",
                monitor_plots.distribution(column),
            )
            for column in sorted(comparison.numbers, key=rank)[:_PICTURES]
        ]
    return pictures
