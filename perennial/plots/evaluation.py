"""Pictures of an evaluation, drawn for a person to look at."""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from perennial.metrics import Predictions, compute

_BINS = 10
# With more classes the cells of a matrix are too small for numbers, and curves hide each other.
_MOST_WITH_NUMBERS, _MOST_CURVES = 12, 10
_INCHES_PER_CLASS, _LONGEST_NAME = 0.17, 30
# Of a picture whose axes run from 0 to 1, below a title of two lines; shares of its size.
_MARGINS = {"left": 0.11, "right": 0.97, "bottom": 0.1, "top": 0.89}


def evaluation_plots(predictions: Predictions, title: str) -> dict[str, Figure]:
    """Return the figures of one model on one holdout: file name -> figure."""
    return {
        "confusion_matrix.png": _confusion(predictions, title),
        "roc.png": _roc(predictions, title),
        "precision_recall.png": _precision_recall(predictions, title),
        "calibration.png": _calibration(predictions, title),
    }


def _axes(
    title: str, xlabel: str, ylabel: str, layout: Literal["constrained"] | None = None
) -> tuple[Figure, Axes]:
    """Return an empty picture; only labels of unknown length need a layout, which draws twice."""
    # An opaque white page is legible on dark pages too.
    figure = Figure(figsize=(6.4, 5.2), dpi=110, layout=layout, facecolor="white")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if layout is None:
        figure.subplots_adjust(**_MARGINS)
    return figure, axes


def _curves(predictions: Predictions) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return name, truth and score of each class that gets a curve: of many, the most frequent."""
    classes = predictions.classes
    counts = np.bincount(predictions.truth, minlength=len(classes))
    frequent = np.argsort(-counts, kind="stable")[:_MOST_CURVES]
    positions = [1] if len(classes) == 2 else sorted(frequent)
    return [
        (_short(classes[k]), predictions.truth == k, predictions.probabilities[:, k])
        for k in positions
    ]


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _confusion(predictions: Predictions, title: str) -> Figure:
    codes = np.arange(len(predictions.classes))
    matrix = confusion_matrix(predictions.truth, predictions.predicted, labels=codes)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure, axes = _axes(
        f"{title}\nconfusion matrix", "predicted label", "true label", "constrained"
    )
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true label")
    names = [_short(name) for name in predictions.classes]
    if len(codes) > _MOST_WITH_NUMBERS:
        width, height = figure.get_size_inches()
        grown = _INCHES_PER_CLASS * (len(codes) - _MOST_WITH_NUMBERS)
        figure.set_size_inches(width + grown, height + grown)
        axes.set_xticks(codes, names, rotation=90, fontsize=8)
        axes.set_yticks(codes, names, fontsize=8)
        return figure
    axes.set_xticks(codes, names)
    axes.set_yticks(codes, names)
    for row, column in np.ndindex(*matrix.shape):
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{matrix[row, column]:,}\n{share:.1%}",
            ha="center",
            va="center",
            color="white" if share > 0.5 else "black",
        )
    return figure


def _roc(predictions: Predictions, title: str) -> Figure:
    figure, axes = _axes(
        f"{title}\nROC, area {compute('roc_auc', predictions):.4f}",
        "false positive rate",
        "true positive rate",
    )
    for name, truth, score in _curves(predictions):
        false_positive, true_positive, _ = roc_curve(truth, score)
        axes.plot(false_positive, true_positive, label=name)
    axes.plot([0, 1], [0, 1], linestyle=":", color="gray", label="chance")
    return _finish(figure, axes, len(predictions.classes))


def _precision_recall(predictions: Predictions, title: str) -> Figure:
    figure, axes = _axes(f"{title}\nprecision and recall", "recall", "precision")
    for name, truth, score in _curves(predictions):
        precision, recall, _ = precision_recall_curve(truth, score)
        axes.plot(recall, precision, label=name)
        axes.axhline(truth.mean(), linestyle=":", color="gray", label=f"share of {name}")
    return _finish(figure, axes, len(predictions.classes))


def _calibration(predictions: Predictions, title: str) -> Figure:
    figure, axes = _axes(
        f"{title}\ncalibration, Brier score {compute('brier', predictions):.4f}",
        "predicted probability",
        "share that was so",
    )
    for name, truth, score in _curves(predictions):
        observed, predicted = calibration_curve(truth, score, n_bins=_BINS, strategy="quantile")
        axes.plot(predicted, observed, marker="o", label=name)
    axes.plot([0, 1], [0, 1], linestyle=":", color="gray", label="perfect")
    return _finish(figure, axes, len(predictions.classes))


def _finish(figure: Figure, axes: Axes, classes: int) -> Figure:
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    some = f"the {_MOST_CURVES} most frequent of {classes} labels"
    axes.legend(loc="lower right", framealpha=1, title=some if classes > _MOST_CURVES else None)
    return figure
