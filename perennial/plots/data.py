"""Pictures of the records that a model learns from, drawn for a person to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.feature_selection import f_classif

from perennial.commands import counted
from perennial.fields import KINDS, FieldKind

Floats = NDArray[np.float64]

# More panels than this cannot be read, and more points hide each other.
_MOST_FIELDS = 6
_MOST_BARS = 30
_MOST_POINTS = 2_000
_MARKERS = "os^Dv*PX"
_BINS = 15
_BAR_WIDTH = 0.8


def data_plots(
    fields: Mapping[str, FieldKind],
    inputs: pa.StructArray,
    labels: Sequence[str],
    classes: Sequence[str],
    name: str,
) -> dict[str, Figure]:
    """Return the figures of labelled records: file name -> figure.

    Numbers are drawn against each other, those first that tell the labels apart best (by the
    F-statistic); means are drawn for numbers and booleans, of many those that tell most. Nothing
    else is drawn.
    """
    truth = np.asarray(labels)
    columns = {
        field: _without_gaps(np.asarray(inputs.field(field).to_pylist(), np.float64))
        for field, kind in fields.items()
        if KINDS[kind].encoding == "numbers" and not KINDS[kind].parts
    }
    title = f"{name}: {counted(len(truth), 'training document')}"
    means = _most_telling(columns, truth, _MOST_BARS) if len(columns) > _MOST_BARS else columns
    figures = {"bars.png": _bars(means, truth, classes, title)}
    quantities = {f: columns[f] for f in columns if KINDS[fields[f]].is_continuous}
    numbers = _most_telling(quantities, truth, _MOST_FIELDS)
    if numbers:
        figures["scatter_matrix.png"] = _scatter_matrix(numbers, truth, classes, title)
    return figures


def _without_gaps(values: Floats) -> Floats:
    """Return values with their median where one is missing."""
    missing = np.isnan(values)
    if not missing.any():
        return values
    return np.where(missing, 0.0 if missing.all() else np.nanmedian(values), values)


def _most_telling(
    columns: dict[str, Floats], truth: NDArray[np.str_], most: int
) -> dict[str, Floats]:
    """Return the fields to draw, in the order of the problem."""
    varied = [field for field, values in columns.items() if np.ptp(values) > 0]
    if len(varied) > most:
        telling, _ = f_classif(np.column_stack([columns[field] for field in varied]), truth)
        best = set(np.argsort(-telling)[:most].tolist())
        varied = [field for place, field in enumerate(varied) if place in best]
    return {field: columns[field] for field in varied}


def _figure(title: str, width: float, height: float) -> Figure:
    # An opaque white page is legible on dark pages too.
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    figure.suptitle(title)
    return figure


def _bars(
    columns: dict[str, Floats], truth: NDArray[np.str_], classes: Sequence[str], title: str
) -> Figure:
    figure = _figure(title, 6.4 + 0.5 * len(columns), 4.6)
    counts, means = figure.subplots(1, 2, width_ratios=[1, max(1.0, len(columns) / 2)])
    _draw_counts(counts, truth, classes)
    _draw_means(means, columns, truth, classes)
    return figure


def _draw_counts(axes: Axes, truth: NDArray[np.str_], classes: Sequence[str]) -> None:
    axes.set(title="documents", ylabel="count")
    for place, label in enumerate(classes):
        bar = axes.bar(place, np.sum(truth == label), color=f"C{place}")
        axes.bar_label(bar, fmt="{:,.0f}")
    axes.margins(y=0.1)
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")


def _draw_means(
    axes: Axes, columns: dict[str, Floats], truth: NDArray[np.str_], classes: Sequence[str]
) -> None:
    axes.set(title="means of the fields", ylabel="standard deviations from the mean of all")
    places = np.arange(len(columns))
    width = _BAR_WIDTH / len(classes)
    for position, label in enumerate(classes):
        chosen = truth == label
        means = [_standard_mean(values, chosen) for values in columns.values()]
        shift = (position - (len(classes) - 1) / 2) * width
        axes.bar(places + shift, means, width, color=f"C{position}", label=label)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(places, list(columns), rotation=30, ha="right")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(framealpha=1)


def _standard_mean(values: Floats, chosen: NDArray[np.bool_]) -> float:
    if not chosen.any():
        return 0.0
    # A field without any variation has no deviation to measure in.
    return float((values[chosen].mean() - values.mean()) / (values.std() or 1.0))


def _scatter_matrix(
    columns: dict[str, Floats], truth: NDArray[np.str_], classes: Sequence[str], title: str
) -> Figure:
    chosen = np.unique(np.linspace(0, len(truth) - 1, min(len(truth), _MOST_POINTS)).astype(int))
    truth = truth[chosen]
    columns = {field: values[chosen] for field, values in columns.items()}
    size = 2.1 * len(columns)
    figure = _figure(title, size + 1.4, size + 0.6)
    grid = figure.subplots(len(columns), len(columns), squeeze=False, sharex="col")
    for row, (vertical, heights) in enumerate(columns.items()):
        for column, (horizontal, widths) in enumerate(columns.items()):
            axes = grid[row, column]
            if row == column:
                _draw_histograms(axes, widths, truth, classes)
            else:
                _draw_points(axes, widths, heights, truth, classes)
            axes.set(
                xlabel=horizontal if row == len(columns) - 1 else None,
                ylabel=vertical if column == 0 else None,
            )
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper")
    return figure


def _draw_histograms(
    axes: Axes, values: Floats, truth: NDArray[np.str_], classes: Sequence[str]
) -> None:
    edges = np.histogram_bin_edges(values, _BINS).tolist()
    for place, label in enumerate(classes):
        axes.hist(values[truth == label], edges, color=f"C{place}", alpha=0.6, label=label)
    axes.tick_params(labelleft=False, left=False)


def _draw_points(
    axes: Axes, widths: Floats, heights: Floats, truth: NDArray[np.str_], classes: Sequence[str]
) -> None:
    for place, label in enumerate(classes):
        chosen = truth == label
        marker = _MARKERS[place % len(_MARKERS)]
        axes.scatter(
            widths[chosen], heights[chosen], s=12, marker=marker, alpha=0.7, color=f"C{place}"
        )
    axes.grid(alpha=0.3)
