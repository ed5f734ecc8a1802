"""Whatever a dashboard, a rule or a page names is exported, with the labels that it asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from ruamel.yaml import YAML

from perennial.prometheus import FAMILIES, MetricFamily
from perennial.settings import PROJECT
from tools.dashboards import BOARDS
from tools.rules import SOURCE
from tools.site import prometheus

SERIES = {name: family for family in FAMILIES.values() for name in family.series}
# Labels that Prometheus adds, and that of a histogram's buckets.
ADDED = {"job", "instance", "namespace", "pod", "le"}
RULES = YAML(typ="safe").load(SOURCE)["spec"]["groups"]
RECORDED = {rule["record"] for group in RULES for rule in group["rules"] if "record" in rule}
PAGES = [*(PROJECT / "docs").rglob("*.md"), PROJECT / "README.md"]
ADAPTER = PROJECT / "k8s" / "addons" / "prometheus-adapter.yaml"
_METRIC = re.compile(r"\b(?:perennial|app|model|log|registry)_[a-z_]+\b")
# Words of problem files and of the adapter that look like metrics.
NO_METRICS = {"log_loss", "app_requests_per_second"}


def _queries(value: Any) -> Iterator[str]:
    """Yield every query within a dashboard."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "expr":
                yield each
            elif key == "query" and isinstance(each, str) and each.startswith("label_values("):
                yield each.removeprefix("label_values(").rpartition(",")[0]
            else:
                yield from _queries(each)
    elif isinstance(value, list):
        for each in value:
            yield from _queries(each)


def _selectors(expression: Any) -> Iterator[promql_parser.VectorSelector]:
    """Yield every selector within an expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
        return
    parts = [getattr(expression, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")]
    for part in [*parts, *(getattr(expression, "args", None) or [])]:
        if part is not None:
            yield from _selectors(part)


def _check(query: str) -> int:
    """Return how many of Perennial's metrics a query asks for; all must be exported."""
    named = 0
    parsed = promql_parser.parse(query.replace("$__rate_interval", "1m"))
    for selector in _selectors(parsed):
        if selector.name in RECORDED | {"up"}:
            continue
        assert selector.name in SERIES, query
        asked = {matcher.name for matcher in selector.matchers.matchers}
        assert asked <= {*SERIES[selector.name].labels, *ADDED}, query
        named += 1
    return named


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_dashboard_asks_for_metrics_that_are_exported(board: Any) -> None:
    assert sum(_check(query) for query in _queries(json.loads(board.json()))) >= 10


def test_the_promotions_and_choices_of_a_dashboard_are_looked_at() -> None:
    queries = list(_queries(json.loads(BOARDS[0].json())))

    assert "perennial_production_version" in queries
    assert any("perennial_production_since_timestamp_seconds" in query for query in queries)


def test_the_rules_ask_for_metrics_that_are_exported() -> None:
    named = [_check(rule["expr"]) for group in RULES for rule in group["rules"]]

    assert sum(named) > len(RECORDED)


def test_the_summary_of_an_alert_names_metrics_that_are_exported() -> None:
    for group in RULES:
        for rule in group["rules"]:
            summary = rule.get("annotations", {}).get("summary", "")
            assert set(_METRIC.findall(summary)) <= SERIES.keys()


@pytest.mark.parametrize("page", [*PAGES, ADAPTER], ids=lambda page: str(page.relative_to(PROJECT)))
def test_a_page_names_metrics_that_are_exported(page: Path) -> None:
    named = set(_METRIC.findall(page.read_text())) - NO_METRICS

    assert named <= {*SERIES, *FAMILIES}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_the_reference_lists_every_metric_with_its_labels(family: MetricFamily) -> None:
    (row,) = [
        line
        for line in prometheus.page().splitlines()
        if re.match(rf"\| `{family.name}(_total)?` \|", line)
    ]

    assert family.type in row
    assert family.help in row
    assert all(f"`{label}`" in row for label in family.labels)
