"""Pictures of a decision: what every other threshold would have brought."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from perennial.config.sections.decision import GoalMetric
from perennial.metrics import METRICS, Predictions
from perennial.thresholds.threshold import HALF, FloorFound, curve
from perennial.training.threshold_tuning import TuningResult

Floats = NDArray[np.float64]

_STEPS = 1_000
_HEADROOM = 2.5
_TRAINING, _HOLDOUT, _CHOSEN, _PLAIN = "tab:blue", "tab:orange", "black", "dimgray"


def decision_plots(tuned: TuningResult, holdout: Predictions, title: str) -> dict[str, Figure]:
    """Return the figures of a decision between two classes: file name -> figure.

    There are none for more classes, which have no single threshold, and none where the most
    probable label is given.
    """
    served = tuned.goal.objective
    if tuned.threshold is None or served is None:
        return {}
    figures = {f"{served}_curve.png": _curve(tuned, served, tuned.threshold, holdout, title)}
    if tuned.floor is not None:
        figures["floor.png"] = _floor(tuned, tuned.floor, tuned.threshold, holdout, title)
    return figures


def _axes(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    # An opaque white page is legible on dark pages too.
    figure = Figure(figsize=(7.2, 5.2), dpi=110, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel, xlim=(0, 1))
    axes.grid(alpha=0.3)
    return figure, axes


def _parts(tuned: TuningResult, holdout: Predictions) -> list[tuple[str, Predictions, str]]:
    """Return name, predictions and colour of both parts of the documents."""
    return [
        (f"training, out of fold ({len(tuned.out_of_fold):,})", tuned.out_of_fold, _TRAINING),
        (f"holdout ({len(holdout):,})", holdout, _HOLDOUT),
    ]


def _curve(
    tuned: TuningResult, metric: GoalMetric, threshold: float, holdout: Predictions, title: str
) -> Figure:
    """Draw a metric against the threshold, with the chosen one and one half."""
    positive = holdout.classes[1]
    shown = "expected cost per document" if metric == "cost" else metric
    figure, axes = _axes(f"{title}\n{shown}", f"threshold of the probability of {positive}", shown)
    thresholds = np.linspace(0, 1, _STEPS + 1)
    marks = np.array([threshold, HALF])
    highest = 0.0
    for name, part, color in _parts(tuned, holdout):
        scores = part.probabilities[:, 1]
        values, (chosen, plain) = (
            curve(metric, part.costs, part.truth, scores, places) for places in (thresholds, marks)
        )
        axes.plot(
            thresholds, values, color=color, label=f"{name}: {chosen:.4f}, at {HALF} {plain:.4f}"
        )
        axes.plot(marks, (chosen, plain), "o", color=color, markersize=5)
        highest = max(highest, chosen, plain)
    axes.axvline(threshold, color=_CHOSEN, linewidth=1, label=f"chosen: {threshold:.4f}")
    axes.axvline(HALF, color=_PLAIN, linewidth=1, linestyle="--", label=f"most probable: {HALF}")
    # The cost of thresholds near 0 or 1 would press the curve flat where it matters.
    more_is_better = METRICS[metric].more_is_better
    top = None if more_is_better else min(axes.get_ylim()[1], _HEADROOM * highest)
    axes.set_ylim(0, top)
    axes.legend(loc="best", framealpha=1)
    return figure


def _floor(
    tuned: TuningResult, floor: FloorFound, threshold: float, holdout: Predictions, title: str
) -> Figure:
    """Draw precision against recall, with the floor and where the threshold lies."""
    outcome = "reached" if floor.reached else "not reached"
    figure, axes = _axes(
        f"{title}\n{floor.metric} at least {floor.required:g} with confidence: {outcome}",
        "recall",
        "precision",
    )
    for name, part, color in _parts(tuned, holdout):
        positive, scores = part.truth == 1, part.probabilities[:, 1]
        precision, recall, _ = precision_recall_curve(positive, scores)
        # The last point, without any positive label, is by definition and not by measurement.
        axes.plot(recall[:-1], precision[:-1], color=color, label=name)
        recalled, precise = (
            curve(metric, None, part.truth, scores, np.array([threshold]))[0]
            for metric in ("recall", "precision")
        )
        label = f"at {threshold:.4f}: precision {precise:.4f}, recall {recalled:.4f}"
        axes.plot([recalled], [precise], "o", color=color, markersize=7, label=label)
    draw = axes.axhline if floor.metric == "precision" else axes.axvline
    draw(
        floor.required,
        color=_CHOSEN,
        linewidth=1,
        linestyle="--",
        label=f"floor {floor.required:g}",
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.legend(loc="lower left", framealpha=1)
    return figure
