"""Metrics of predictions: each is one file with its name, its direction and its computation.

A file ``NAME.py`` defines ``METRIC``, a `Metric`, and is found by being here: problem files may
name it, and runs, tables and intervals have it. Modules import NumPy only where they compute: who
only checks a problem's file does not wait for it.
"""

from perennial.metrics.evaluation.bootstrap import (
    Interval,
    compute,
    difference,
    interval,
    intervals,
    metrics_of,
)
from perennial.metrics.evaluation.metric import Metric, Needed
from perennial.metrics.evaluation.power import conclusion, provable
from perennial.metrics.evaluation.predictions import Predictions, Ranking, join
from perennial.metrics.evaluation.registry import METRICS, MetricName

__all__ = [
    "METRICS",
    "Interval",
    "Metric",
    "MetricName",
    "Needed",
    "Predictions",
    "Ranking",
    "compute",
    "conclusion",
    "difference",
    "interval",
    "intervals",
    "join",
    "metrics_of",
    "provable",
]
