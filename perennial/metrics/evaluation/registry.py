"""The metrics that there are: one for each file of `perennial.metrics`."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from perennial.metrics.evaluation.metric import Metric

_PACKAGE = "perennial.metrics"


def _found() -> Iterator[Metric]:
    for file in pkgutil.iter_modules([str(Path(__file__).parents[1])]):
        if not file.ispkg:
            metric: Metric = import_module(f"{_PACKAGE}.{file.name}").METRIC
            yield metric


# Name -> metric, in the order of tables and messages.
METRICS: dict[str, Metric] = {
    metric.name: metric for metric in sorted(_found(), key=lambda metric: metric.position)
}
# A metric's name in a problem's file; pydantic knows those that there are.
if TYPE_CHECKING:
    MetricName = str
else:
    MetricName = Literal[tuple(METRICS)]
