"""The queries that the panels of dashboards are made of."""

from __future__ import annotations

from perennial.metrics import METRICS
from perennial.prometheus import PREFIX, series
from tools.dashboards.draw import Query

HERE = 'namespace=~"$namespace"'
OF = 'namespace=~"$namespace",problem=~"$problem"'
ASKED = 'route=~"/classify|/feedback"'
RATE = "[$__rate_interval]"
SCORES = "|".join(name for name, metric in METRICS.items() if metric.more_is_better)


def quantile(quantile: float) -> Query:
    """Return the query of a quantile of the time that an answer takes."""
    name = series("app_request_latency_seconds_bucket")
    buckets = f'{name}{{{HERE},route="/classify"}}{RATE}'
    return Query(
        f"histogram_quantile({quantile}, sum by (le) (rate({buckets})))",
        f"{quantile:.0%}".replace("%", " in 100"),
    )


def rate(metric: str, by: str, selector: str = OF) -> str:
    """Return the query of how often something happens in a second."""
    return f"sum by ({by}) (rate({series(metric)}{{{selector}}}{RATE}))"


def latest(metric: str, by: str, extra: str = "") -> str:
    """Return the query of the newest value of a figure of flows."""
    return f"max by ({by}) ({series(PREFIX + metric)}{{{OF}{extra}}})"


def increase(metric: str, by: str) -> str:
    """Return the query of how often something happened in the last hour."""
    return f"sum by ({by}) (increase({series(metric)}{{{OF}}}[1h]))"


def runs(by: str, extra: str = "") -> str:
    """Return the query of the runs of flows in the last hour."""
    runs = series("perennial_flow_runs_last_hour")
    return f"sum by ({by}) (max by (flow, problem, state) ({runs}{{{HERE}{extra}}}))"
