"""Pictures of a monitor report, as SVG that takes the colours of the page around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from io import StringIO

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from perennial.metrics import Interval
from perennial.monitoring.domain_classifier import WordShift
from perennial.monitoring.drift_tests import Column, DriftTest

# Each is drawn in a colour that occurs nowhere else, and becomes a variable of the page's style.
INK, SOFT, BEFORE, NOW, ALERT = "#010203", "#010204", "#010205", "#010206", "#010207"
_VARIABLES = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    BEFORE: "var(--before)",
    NOW: "var(--now)",
    ALERT: "var(--alert)",
}
_STYLE = {
    "svg.fonttype": "none",
    # Elements are numbered from this instead of a random text: the same report is the same file.
    "svg.hashsalt": "perennial",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": SOFT,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}
_BINS = 30
_WIDE = 100.0
_LONGEST_BAR = 3.0
_IN_LEGEND = 5


def sizes(tests: Sequence[DriftTest]) -> str:
    """Return how far each test reaches towards its limit, as one bar each."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(height=0.9 + 0.36 * len(tests))
        shown = list(reversed(tests))
        names = [f"{test.name.replace('_', ' ')} ({test.of})" for test in shown]
        lengths = [min(test.reach, _LONGEST_BAR) for test in shown]
        colours = [ALERT if test.drifted else NOW for test in shown]
        axes.barh(names, lengths, color=colours, height=0.62)
        for row, (test, length) in enumerate(zip(shown, lengths, strict=True)):
            more = ", off the scale" if test.reach > _LONGEST_BAR else ""
            axes.text(length + 0.03, row, f"{test.size:.3f}{more}", va="center", fontsize=9)
        axes.axvline(1, color=INK, linewidth=1, linestyle="--")
        axes.set(xlabel="size of the change, in limits (1 = the limit)", xlim=(0, 3.9))
        return _svg(figure, "How far each comparison reaches towards its limit")


def distribution(column: Column) -> str:
    """Return the distributions of a number in the reference and in the recent sample."""
    before, now = np.asarray(column.before, np.float64), np.asarray(column.now, np.float64)
    together = np.concatenate([before, now])
    low, high = float(together.min()), float(together.max())
    # A range over decades is legible only by its logarithm.
    logarithmic = low > 0 and high / low > _WIDE
    edges = np.geomspace(low, high, _BINS) if logarithmic else np.linspace(low, high, _BINS)
    if low == high:
        edges = np.array([low - 0.5, high + 0.5])
    bins = edges.tolist()
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(width=4.4, height=2.7)
        for values, colour, name in ((before, BEFORE, "snapshot"), (now, NOW, "recent")):
            weights = np.full(len(values), 1 / len(values))
            axes.hist(values, bins, weights=weights, color=colour, alpha=0.22)
            axes.hist(
                values,
                bins,
                weights=weights,
                color=colour,
                histtype="step",
                linewidth=1.6,
                label=f"{name} ({len(values):,})",
            )
        if logarithmic:
            axes.set_xscale("log")
        axes.set(xlabel=_unit(column.name), ylabel="share")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        figure.legend(fontsize=9, loc="outside upper right", ncols=2)
        return _svg(figure, f"{column.name} before and now")


def words(shifts: Sequence[WordShift]) -> str:
    """Return the share of texts with each word, before and now."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(width=4.4, height=1.0 + 0.24 * len(shifts))
        rows = np.arange(len(shifts))[::-1]
        before, now = [s.before for s in shifts], [s.now for s in shifts]
        axes.hlines(rows, before, now, color=SOFT, linewidth=1.5)
        axes.plot(before, rows, "o", color=BEFORE, label="snapshot", markersize=5)
        axes.plot(now, rows, "o", color=NOW, label="recent", markersize=5)
        axes.set_yticks(rows, [shift.word for shift in shifts])
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set(xlabel="texts with the word", xlim=(-0.02, None))
        axes.grid(axis="x")
        figure.legend(fontsize=9, loc="outside upper right", ncols=2)
        return _svg(figure, "Words whose frequency changed most")


def accuracy(
    versions: Mapping[int, Sequence[tuple[datetime, Interval]]],
    holdout: Interval | None,
    production: int,
) -> str:
    """Return measured accuracy over time, a line per version, with its intervals."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(height=3.0)
        for version, points in versions.items():
            times = [time for time, _ in points]
            values = np.array([found.value for _, found in points])
            spread = [
                values - [found.low for _, found in points],
                [found.high for _, found in points] - values,
            ]
            current = version == production
            axes.errorbar(
                times,  # type: ignore[arg-type]
                values,
                spread,
                fmt="o-",
                color=NOW if current else BEFORE,
                capsize=3,
                markersize=5,
                label=f"version {version}" + (" (Production)" if current else ""),
            )
        if holdout is not None:
            axes.axhline(
                holdout.value, color=INK, linestyle="--", linewidth=1, label="Production, holdout"
            )
        axes.set(xlabel="time of the prediction (UTC)", ylabel="accuracy")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(axis="y")
        axes.margins(x=0.08, y=0.15)
        figure.legend(fontsize=9, loc="outside upper right", ncols=_IN_LEGEND)
        figure.autofmt_xdate(rotation=0, ha="center")
        return _svg(figure, "Measured accuracy over time")


def _axes(width: float = 9.2, height: float = 3.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    return figure, axes


def _unit(name: str) -> str:
    units = {"length": "length (characters)", "confidence": "probability of the given label"}
    return units.get(name, name)


def _svg(figure: Figure, title: str) -> str:
    """Return a figure as an SVG element to stand in a page."""
    target = StringIO()
    figure.savefig(target, format="svg", metadata={"Date": None, "Title": title})
    text = target.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
