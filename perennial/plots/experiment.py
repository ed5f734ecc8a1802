"""Pictures of many candidates side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from perennial.metrics import Interval

_COLOR = "#2b6cb0"
_BEST = "#c05621"


@dataclass(frozen=True)
class Bar:
    """One candidate.

    Attributes
    ----------
    name : str
        What to call it.
    found : Interval or None
        Its metric; None if it has no figure.
    seconds : float
        Time of a fit.
    """

    name: str
    found: Interval | None
    seconds: float


def comparison_plots(bars: Sequence[Bar], metric: str, title: str) -> dict[str, Figure]:
    """Return figures of candidates, the best first: file name -> figure."""
    return {
        "comparison.png": _bars(bars, metric, title),
        "time-and-quality.png": _scatter(bars, metric, title),
    }


def _bars(bars: Sequence[Bar], metric: str, title: str) -> Figure:
    """Draw a dot with its interval for each candidate; bars from zero would hide differences."""
    figure, axes = _axes(title, 1.6 + 0.36 * len(bars))
    for row, bar in enumerate(bars):
        if bar.found is None:
            axes.annotate(
                "no figure",
                (0.5, row),
                xycoords=("axes fraction", "data"),
                va="center",
                color="gray",
            )
            continue
        found = bar.found
        axes.errorbar(
            found.value,
            row,
            xerr=[[found.value - found.low], [found.high - found.value]],
            fmt="o",
            capsize=4,
            color=_BEST if row == 0 else _COLOR,
        )
        axes.annotate(
            f"{found.value:.4f}",
            (found.high, row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.margins(x=0.15)
    axes.set_xlabel(f"{metric}, cross-validated, with its interval")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _scatter(bars: Sequence[Bar], metric: str, title: str) -> Figure:
    figure, axes = _axes(title, 6.0)
    for row, bar in enumerate(bars):
        if bar.found is None:
            continue
        axes.scatter(bar.seconds, bar.found.value, color=_BEST if row == 0 else _COLOR, zorder=3)
        axes.annotate(
            bar.name,
            (bar.seconds, bar.found.value),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
        )
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.1)
    axes.set(xlabel="seconds of a fit", ylabel=f"{metric}, cross-validated")
    axes.grid(alpha=0.3)
    return figure


def _axes(title: str, height: float) -> tuple[Figure, Axes]:
    # An opaque white page is legible on dark pages too.
    figure = Figure(figsize=(8.4, height), dpi=110, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.set_title(f"{title}: candidates compared")
    return figure, axes
