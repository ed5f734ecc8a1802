"""The report of a monitor run: a page for people, numbers for MLflow, Prefect and Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from rich.console import Console, Group

from perennial.config.problem import Problem
from perennial.metrics import Interval
from perennial.registry.client import open_registry
from perennial.registry.tags import RunTags
from perennial.settings import get_settings
from perennial.stores.measurements import Gauge, record
from tasks.monitoring.quality import Quality
from tasks.monitoring.result import MonitorResult
from tasks.monitoring.summary import advice, headline, tables
from tasks.orchestration.retries import NETWORK

REPORT = "monitor.html"


@task(name="report monitoring", cache_policy=NO_CACHE, **NETWORK)
def report_monitoring(problem: Problem, monitored: MonitorResult) -> None:
    """Show what a run found: as a page and metrics in MLflow, in Prefect, and for Prometheus.

    In MLflow there is one run for each Production version that was watched: its metrics are series
    over time, and its page is that of the latest run. A run every few minutes would hide all others
    there.

    Raises
    ------
    OutsideError
        If MLflow or MongoDB cannot be used.
    """
    from tasks.monitoring.page import page

    gauges = list(gauges_of(monitored))
    registry = open_registry(get_settings())
    version = monitored.reference.production.version
    tags = RunTags(kind="monitor", watched_version=version).as_tags()
    run_id = registry.find_run(problem.name, tags)
    if run_id is None:
        with registry.run(problem.name, f"monitor version {version}", tags=tags) as run_id:
            pass
    registry.log(run_id, metrics={gauge.series: gauge.value for gauge in gauges})
    registry.log_files(run_id, {REPORT: page(problem, monitored)}, {})
    record("monitor", problem, gauges)

    heading = headline(problem, monitored)
    grids = tables(monitored)
    listed = "\n".join(f"- {line}" for line in advice(problem, monitored))
    body = "\n".join(grid.markdown() for grid in grids)
    create_markdown_artifact(
        key=f"monitor-{problem.name}",
        markdown=f"# {heading}\n\n{listed}\n\n{body}\nThe page with pictures is `{REPORT}` of the "
        f"MLflow run {run_id}.\n",
        description=heading,
    )
    Console().print(Group(*(grid.rich() for grid in grids)), f"[bold]{heading}[/bold]")


def gauges_of(monitored: MonitorResult) -> Iterator[Gauge]:
    """Yield the gauges of a run for Prometheus."""
    version = {"version": str(monitored.reference.production.version)}
    for test in monitored.drift.tests:
        labels = {"test": test.name, "of": test.of}
        yield Gauge("drift_score", test.size, labels)
        yield Gauge("drift_limit", test.limit, labels)
        yield Gauge("drift_found", test in monitored.drift.counted, labels)
    yield Gauge("drift_runs", monitored.alarm.alarm.runs)
    yield from _of_quality(monitored.quality, version)
    ages = monitored.freshness
    for name, age in (
        ("production_age_seconds", ages.production),
        ("newest_document_age_seconds", ages.newest_document),
        ("snapshot_age_seconds", ages.snapshot),
        ("retraining_age_seconds", ages.retraining),
    ):
        if age is not None:
            yield Gauge(name, age)
    skew = monitored.recent.skew
    yield Gauge("compared_answers", skew.compared, version)
    yield Gauge("skewed_answers", skew.different, version)
    yield Gauge("recent_documents", monitored.recent.arrived)
    yield Gauge("unusable_documents", sum(monitored.recent.unusable.values()))


def _of_quality(quality: Quality, version: dict[str, str]) -> Iterator[Gauge]:
    window = max((each.look_back for each in quality.live), default=None)
    for live in quality.live:
        if live.look_back == window:
            labels = {"version": str(live.version)}
            yield from _interval("live_accuracy", live.accuracy, labels)
            yield Gauge("live_answers", live.known, labels)
    if quality.documents is not None:
        yield from _interval("arrived_accuracy", quality.documents, version)
    for part in quality.parts:
        labels = version | {"part": part.name}
        yield from _interval("arrived_part_accuracy", part.accuracy, labels)
        yield Gauge("arrived_part_documents", part.documents, labels)
    for of, estimate in quality.estimated.items():
        yield from _interval("estimated_accuracy", estimate, version | {"of": of})


def _interval(name: str, found: Interval, labels: dict[str, str]) -> Iterator[Gauge]:
    yield Gauge(name, found.value, labels)
    yield Gauge(f"{name}_low", found.low, labels)
    yield Gauge(f"{name}_high", found.high, labels)
