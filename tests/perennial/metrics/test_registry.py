"""A metric is one file, which problem files may name as soon as it is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

import perennial.metrics
from perennial.metrics import METRICS, Metric, MetricName

FOLDER = Path(perennial.metrics.__file__).parent
NAMES = [
    *("accuracy", "balanced_accuracy", "top_k_accuracy", "precision", "recall", "f1"),
    *("roc_auc", "average_precision", "recall_at_precision", "log_loss", "brier", "cost"),
]


def _names(**known: bool) -> set[str]:
    return {
        name
        for name, metric in METRICS.items()
        if all(getattr(metric, key) is value for key, value in known.items())
    }


def test_every_file_is_a_metric_of_its_name_and_comes_in_its_position() -> None:
    assert list(METRICS) == NAMES
    assert {file.stem for file in FOLDER.glob("[!_]*.py")} == METRICS.keys()
    assert all(name == metric.name for name, metric in METRICS.items())
    assert len({metric.position for metric in METRICS.values()}) == len(METRICS)


def test_a_metric_knows_its_direction_and_what_it_needs() -> None:
    assert _names(more_is_better=False) == {"log_loss", "brier", "cost"}
    assert _names(needs_probabilities=True) == {
        *("roc_auc", "average_precision", "recall_at_precision"),
        *("top_k_accuracy", "log_loss", "brier"),
    }
    assert {name: each.needs for name, each in METRICS.items() if each.needs} == {
        "recall_at_precision": "decision.floor.precision",
        "cost": "decision.costs",
    }
    assert _names(of_positive_class=True) == {
        *("precision", "recall", "f1", "average_precision", "recall_at_precision")
    }
    assert _names(is_tuned_for=True) == {"f1", "balanced_accuracy"}
    assert {
        name: each.least_classes for name, each in METRICS.items() if each.least_classes > 2
    } == {"top_k_accuracy": 4}
    assert {name: each.most_classes for name, each in METRICS.items() if each.most_classes} == {
        "recall_at_precision": 2
    }


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_more_is_better_once_a_value_has_its_sign(metric: Metric) -> None:
    better, worse = (0.9, 0.1) if metric.more_is_better else (0.1, 0.9)

    assert metric.sign * better > metric.sign * worse


def test_a_problem_may_name_the_metrics_that_there_are_and_no_others() -> None:
    allowed = TypeAdapter(MetricName)

    assert [allowed.validate_python(name) for name in NAMES] == NAMES
    assert allowed.json_schema() == {"enum": NAMES, "type": "string"}
    with pytest.raises(
        ValidationError, match=r"'accuracy', 'balanced_accuracy', .*'brier' or 'cost'"
    ):
        allowed.validate_python("accurracy")


def test_the_metrics_are_known_without_numpy() -> None:
    code = "import sys, perennial.metrics; print({'numpy', 'scipy', 'sklearn'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "set()\n"
