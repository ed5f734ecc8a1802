"""The page about the metrics for Prometheus, from the programs that export them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from deployments import exporter
from serving.telemetry.metrics import Metrics
from tools.site.markdown import code, table

_INTRODUCTION = """\
# Prometheus metrics

The service answers at `/metrics`, or at a port of its own. The exporter,
`python -m deployments.exporter`, has the figures of the flows. A counter has the suffix `_total`; a
histogram has `_bucket`, `_sum` and `_count`.
"""
_HEAD = ("metric", "type", "labels", "meaning")
Row = tuple[str, str, str, str]


def page() -> str:
    """Return the page."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## Service\n",
            table(_HEAD, service()),
            "\n## Exporter\n",
            "Each metric of a flow has the labels `flow` and `problem`.\n",
            table(("metric", "meaning"), flows()),
        ]
    )


def service() -> Iterator[Row]:
    """Yield the metrics of the service: name, type, labels and meaning."""
    metrics = Metrics()
    for member in vars(metrics).values():
        if isinstance(member, MetricWrapperBase):
            (described,) = member.describe()
            labels = ", ".join(code(label) for label in member._labelnames)  # noqa: SLF001 - no public name
            suffix = "_total" if described.type == "counter" else ""
            yield code(described.name + suffix), described.type, labels, described.documentation


def flows() -> Iterator[tuple[str, str]]:
    """Yield the metrics of the exporter: name and meaning."""
    for name, meaning in exporter.MEANINGS.items():
        yield code(exporter.PREFIX + name), meaning
