"""The pictures of records."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from perennial.fields import FieldKind
from perennial.plots.data import data_plots


def _plots(fields: dict[str, FieldKind], rows: int = 30) -> dict[str, Figure]:
    generator = np.random.default_rng(0)
    made = {"number": generator.normal, "boolean": lambda: True, "category": lambda: "x"}
    records = [{name: made[kind]() for name, kind in fields.items()} for _ in range(rows)]
    labels = ["a" if row % 3 else "b" for row in range(rows)]
    for record, label in zip(records, labels, strict=True):
        record |= {
            name: record[name] + 5 for name in ["telling"] if label == "a" and name in record
        }
    return data_plots(fields, pa.array(records), labels, ["a", "b"], "flowers")


def test_numbers_are_drawn_against_each_other_and_classes_are_counted() -> None:
    plots = _plots({"width": "number", "height": "number", "wild": "boolean", "colour": "category"})

    assert plots.keys() == {"bars.png", "scatter_matrix.png"}
    grid = plots["scatter_matrix.png"].axes
    assert len(grid) == 4
    assert [axes.get_xlabel() for axes in grid[2:]] == ["width", "height"]
    counts, means = plots["bars.png"].axes
    assert [bar.get_height() for bar in counts.patches] == [20, 10]
    assert [tick.get_text() for tick in means.get_xticklabels()] == ["width", "height", "wild"]
    for figure in plots.values():
        assert figure.get_facecolor() == (1, 1, 1, 1)
        figure.draw_without_rendering()


def test_of_many_numbers_those_are_drawn_that_tell_the_labels_apart() -> None:
    fields: dict[str, FieldKind] = {f"field_{number}": "number" for number in range(8)}

    plots = _plots(fields | {"telling": "number"})

    grid = plots["scatter_matrix.png"].axes
    assert len(grid) == 36
    assert grid[-1].get_xlabel() == "telling"


def test_records_without_numbers_have_bars_only() -> None:
    assert _plots({"colour": "category"}).keys() == {"bars.png"}
