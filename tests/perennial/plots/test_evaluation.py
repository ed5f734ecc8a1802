"""The pictures of an evaluation show what they say, for two classes and for more."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from matplotlib.figure import Figure

from perennial.metrics import Predictions, compute
from perennial.plots.evaluation import evaluation_plots
from tests.perennial.examples import right_at

LABELS = {
    "confusion_matrix.png": ("predicted label", "true label"),
    "roc.png": ("false positive rate", "true positive rate"),
    "precision_recall.png": ("recall", "precision"),
    "calibration.png": ("predicted probability", "share that was so"),
}
CURVES = ["roc.png", "precision_recall.png", "calibration.png"]
TWO, THREE = ("negative", "positive"), ("setosa", "versicolor", "virginica")

both = pytest.mark.parametrize("classes", [TWO, THREE], ids=["two classes", "three classes"])


def made(classes: tuple[str, ...]) -> Predictions:
    return right_at(0.8, documents=120, seed=1, classes=classes)


def named_lines(figure: Figure) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}


@both
def test_there_is_a_picture_of_each_kind_with_title_and_axes(classes: tuple[str, ...]) -> None:
    figures = evaluation_plots(made(classes), "sentiment: bow-bayes")

    assert {
        name: (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel())
        for name, figure in figures.items()
    } == LABELS
    for figure in figures.values():
        assert figure.axes[0].get_title().startswith("sentiment: bow-bayes\n")


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize(
    ("classes", "drawn"), [(TWO, {"positive"}), (THREE, set(THREE))], ids=["two", "three"]
)
def test_curves_are_those_of_the_positive_class_or_of_every_class(
    name: str, classes: tuple[str, ...], drawn: set[str]
) -> None:
    figure = evaluation_plots(made(classes), "title")[name]

    lines = named_lines(figure)
    legend = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}

    assert set(lines) & set(classes) == drawn
    assert set(lines) == legend
    assert all(np.isfinite(line).all() and len(line) > 1 for line in lines.values())


@both
def test_the_confusion_matrix_counts_every_document(classes: tuple[str, ...]) -> None:
    p = made(classes)

    axes = evaluation_plots(p, "title")["confusion_matrix.png"].axes[0]

    k = len(classes)
    texts = [text.get_text().splitlines() for text in axes.texts]
    counts = np.array([int(count.replace(",", "")) for count, _ in texts]).reshape(k, k)
    expected = [[np.sum((p.truth == i) & (p.predicted == j)) for j in range(k)] for i in range(k)]
    np.testing.assert_array_equal(counts, expected)
    assert texts[0][1] == f"{counts[0, 0] / counts[0].sum():.1%}"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == list(classes)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(classes)


def test_a_class_that_is_nowhere_has_its_place_in_the_confusion_matrix() -> None:
    p = made(THREE)
    rows = p.truth != 2
    without = Predictions(THREE, p.truth[rows], p.truth[rows], p.probabilities[rows])

    with pytest.warns(UserWarning, match="No positive"):
        axes = evaluation_plots(without, "title")["confusion_matrix.png"].axes[0]

    nothing = "0\n0.0%"
    shown = [text.get_text() for text in axes.texts]
    assert shown == [
        *("40\n100.0%", nothing, nothing),
        *(nothing, "40\n100.0%", nothing),
        *(nothing, nothing, nothing),
    ]


@both
def test_the_titles_name_the_figures_of_the_metrics(classes: tuple[str, ...]) -> None:
    p = made(classes)

    figures = evaluation_plots(p, "title")

    assert f"area {compute('roc_auc', p):.4f}" in figures["roc.png"].axes[0].get_title()
    assert f"score {compute('brier', p):.4f}" in figures["calibration.png"].axes[0].get_title()


def test_a_perfect_model_has_the_perfect_curve() -> None:
    truth = np.arange(100) % 2
    p = Predictions(TWO, truth, truth, np.eye(2)[truth])

    line = named_lines(evaluation_plots(p, "title")["roc.png"])["positive"]

    assert [0, 1] in line.tolist()


@both
def test_the_pictures_can_be_saved(classes: tuple[str, ...]) -> None:
    for figure in evaluation_plots(made(classes), "title").values():
        file = BytesIO()

        figure.savefig(file, format="png", dpi=20)

        assert file.getvalue().startswith(b"\x89PNG")


def test_fifty_two_labels_are_legible() -> None:
    classes = tuple(f"a topic with a long name, number {number}" for number in range(52))

    figures = evaluation_plots(made(classes), "title")

    matrix = figures["confusion_matrix.png"]
    axes = matrix.axes[0]
    assert not axes.texts
    assert len(axes.get_xticklabels()) == len(axes.get_yticklabels()) == 52
    matrix.canvas.draw()
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert not any(
        one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number]
    )
    for name in CURVES:
        legend = figures[name].axes[0].get_legend()
        assert legend.get_title().get_text() == "the 10 most frequent of 52 labels"
