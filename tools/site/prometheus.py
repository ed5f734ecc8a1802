"""The page about the metrics for Prometheus, from the table that names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from perennial.prometheus import EXPORTER, FLOWS, SERVICE, MetricFamily
from tools.site.markdown import code, table

_INTRODUCTION = """\
# Prometheus metrics

The service answers at `/metrics`, or at a port of its own. The exporter,
`python -m deployments.exporter`, has the metrics of the flows, which the last success of each flow
has measured. A histogram has the series `_bucket`, `_sum` and `_count`.
"""
_HEAD = ("metric", "type", "labels", "meaning")
Row = tuple[str, str, str, str]


def page() -> str:
    """Return the page."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## Service\n",
            table(_HEAD, _rows(SERVICE.values())),
            "\n## Exporter\n",
            table(_HEAD, _rows(EXPORTER.values())),
            "\n## Flows\n",
            table(_HEAD, _rows(FLOWS.values())),
        ]
    )


def _rows(families: Iterable[MetricFamily]) -> Iterator[Row]:
    for family in families:
        name = family.name if family.type == "histogram" else family.series[0]
        labels = ", ".join(code(label) for label in family.labels)
        yield code(name), family.type, labels, family.help
