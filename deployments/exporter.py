"""The exporter: what flows, registry and Prefect know, for Prometheus.

python -m deployments.exporter

A flow's process has ended long before Prometheus comes by, so that it cannot be asked itself. A
push gateway would need a disk and a clean-up of its own, and show for ever what a problem that is
gone has pushed; here the figures lie in MongoDB beside the documents, any machine may run the flow,
and every restart of the exporter finds them again.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deployments.deadline import deadline
from deployments.deployed import deployed_flows
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.local.ports import require_free
from perennial.registry.client import PRODUCTION, open_registry
from perennial.settings import (
    Settings,
    configured_prefect_api,
    get_exporter_settings,
    get_settings,
    prefect_headers,
)
from perennial.stores import mongodb
from perennial.stores.measurements import COLLECTION

PREFIX = "perennial_"
# However many ask, the servers behind are asked this often.
_FRESH_SECONDS = 10.0
_WINDOW = timedelta(hours=1)
_RUNS_PER_PAGE = 200
_ANSWER_SECONDS = 5.0
_UNKNOWN = "unknown"
_STATES = (
    "scheduled", "late", "pending", "running", "retrying", "awaitingretry", "paused", "suspended",
    "cancelling", "cancelled", "completed", "failed", "crashed", "timedout",
)  # fmt: skip
_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True)
class Sample:
    """One value of a metric, whose name lacks the prefix."""

    name: str
    value: float
    labels: tuple[tuple[str, str], ...]


def sample(name: str, value: float, **labels: str) -> Sample:
    """Return a value with its labels in order."""
    return Sample(name, value, tuple(sorted(labels.items())))


Source = Callable[[], Iterable[Sample]]


class Sources(Collector):
    """Everything that is exported, asked for at most every few seconds.

    Parameters
    ----------
    sources : sequence of (str, Source)
        Name of each source, and what asks it. One that fails is shown as 0 in
        ``perennial_source_up``; the others answer all the same.
    """

    def __init__(self, sources: Sequence[tuple[str, Source]]) -> None:
        self._sources = tuple(sources)
        self._lock = threading.Lock()
        self._found: list[Metric] = []
        self._asked = -_FRESH_SECONDS
        self._failing: set[str] = set()

    def collect(self) -> Iterable[Metric]:
        """Return all metrics."""
        with self._lock:
            if time.monotonic() - self._asked >= _FRESH_SECONDS:
                self._found = list(_families(self._ask()))
                self._asked = time.monotonic()
            return self._found

    def describe(self) -> Iterable[Metric]:
        """Return nothing: which metrics there are is known when the sources have answered."""
        return []

    def _ask(self) -> Iterator[Sample]:
        for name, source in self._sources:
            try:
                found = list(source())
            except OutsideError as error:
                if name not in self._failing:
                    _log.warning("%s", error)
                self._failing.add(name)
                yield sample("source_up", 0, source=name)
                continue
            self._failing.discard(name)
            yield sample("source_up", 1, source=name)
            yield from found


def _families(samples: Iterable[Sample]) -> Iterator[Metric]:
    """Group samples by metric, as the text format wants them.

    A metric has the labels of all of its samples; one that a sample lacks is empty there.
    """
    groups: dict[str, list[Sample]] = {}
    for each in samples:
        groups.setdefault(each.name, []).append(each)
    for name, members in groups.items():
        labels = sorted({key for member in members for key, _ in member.labels})
        family = GaugeMetricFamily(PREFIX + name, MEANINGS.get(name, name), labels=labels)
        for member in members:
            values = dict(member.labels)
            family.add_metric([values.get(label, "") for label in labels], member.value)
        yield family


MEANINGS = {
    "source_up": "1 while the source of these metrics answers the exporter",
    "flow_last_success_timestamp_seconds": "when the flow last succeeded for the problem",
    "flow_deadline_timestamp_seconds": "when it should have succeeded again, by its schedule",
    "flow_step_seconds": "duration of each step of the last run",
    "documents": "documents of the last retraining by what became of them",
    "documents_quarantined": "documents that the last retraining quarantined, by reason",
    "snapshot_documents": "documents in the newest snapshot",
    "challenger_metric": "metric of the last challenger on the holdout",
    "verdict": "1 for the outcome of the last verdict",
    "answer_deadline_timestamp_seconds": "until when a version waits for an answer",
    "production_version": "number of the version that is Production",
    "production_since_timestamp_seconds": "since when that version is Production",
    "holdout_metric": "metric of Production on the holdout, when it was made",
    "flow_runs_last_hour": "flow runs by their state, of the last hour",
}


def measurements(settings: Settings) -> Iterator[Sample]:
    """Yield the latest figures of each flow and problem.

    Raises
    ------
    OutsideError
        If MongoDB does not answer.
    """
    problems = {problem.name: problem for problem in _problems(settings)}
    databases = {problem.source.database for problem in problems.values()}
    with mongodb.connect(settings) as client:
        for database in sorted(databases):
            for entry in client[database][COLLECTION].find():
                of = {"flow": entry["flow"], "problem": entry["problem"]}
                at = entry["at"].timestamp()
                yield sample("flow_last_success_timestamp_seconds", at, **of)
                problem = problems.get(entry["problem"])
                due = problem and deadline(entry["flow"], problem, entry["at"])
                if due:
                    yield sample("flow_deadline_timestamp_seconds", due.timestamp(), **of)
                for figure in entry["figures"]:
                    yield sample(figure["name"], figure["value"], **{**figure["labels"], **of})


def production(settings: Settings) -> Iterator[Sample]:
    """Yield what the registry says about each problem's Production, and about what waits to be.

    Raises
    ------
    OutsideError
        If MLflow does not answer.
    """
    registry = open_registry(settings)
    for version in registry.waiting():
        if version.question is not None:
            of = {"problem": version.problem, "version": str(version.version)}
            until = version.question.until.timestamp()
            yield sample("answer_deadline_timestamp_seconds", until, **of)
    for aliases in registry.problems():
        number = aliases.versions.get(PRODUCTION)
        if number is None:
            continue
        version = registry.version(aliases.problem, number)
        of = {"problem": version.problem}
        yield sample("production_version", number, **of)
        since = version.since(PRODUCTION)
        if since is not None:
            yield sample("production_since_timestamp_seconds", since.timestamp(), **of)
        for metric, value in version.metrics.items():
            yield sample("holdout_metric", value, metric=metric, version=str(number), **of)


def flow_runs(api: str) -> Iterator[Sample]:
    """Yield how many flow runs of the last hour are in which state.

    A run that should have started counts as late, whatever it does later.

    Raises
    ------
    OutsideError
        If Prefect does not answer.
    """
    import httpx

    since = (datetime.now(UTC) - _WINDOW).isoformat()
    counts: dict[tuple[str, str], int] = {}
    try:
        with httpx.Client(
            base_url=api, headers=prefect_headers(), timeout=_ANSWER_SECONDS
        ) as client:
            flows = {flow["id"]: flow["name"] for flow in _pages(client, "/flows/filter", {})}
            # A state that no run is in is a zero: what is not there can be neither seen nor judged.
            # Nor can a flow that has not run yet, of which Prefect does not know.
            known = {*flows.values(), *deployed_flows()}
            counts = {(flow, state): 0 for flow in sorted(known) for state in _STATES}
            wanted: dict[str, object] = {
                "flow_runs": {"expected_start_time": {"after_": since}},
                "sort": "EXPECTED_START_TIME_DESC",
            }
            for run in _pages(client, "/flow_runs/filter", wanted):
                key = (flows.get(run["flow_id"], _UNKNOWN), (run["state_name"] or _UNKNOWN).lower())
                counts[key] = counts.get(key, 0) + 1
    except httpx.HTTPStatusError as error:
        raise OutsideError(
            f"Prefect at PREFECT_API_URL answers with status {error.response.status_code}; "
            "PREFECT_API_KEY or PREFECT_API_AUTH_STRING says who asks."
        ) from error
    except httpx.HTTPError as error:
        raise OutsideError(
            f"Prefect does not answer at PREFECT_API_URL ({type(error).__name__})."
        ) from error
    for (flow, state), count in counts.items():
        yield sample("flow_runs_last_hour", count, flow=flow, state=state)


def _pages(client: httpx.Client, path: str, wanted: dict[str, object]) -> Iterator[dict[str, str]]:
    offset = 0
    while True:
        page = client.post(path, json={**wanted, "limit": _RUNS_PER_PAGE, "offset": offset})
        page.raise_for_status()
        found = page.json()
        yield from found
        if len(found) < _RUNS_PER_PAGE:
            return
        offset += len(found)


def _problems(settings: Settings) -> list[Problem]:
    return [load_problem(file) for file in sorted(settings.problems_dir.glob("*.yaml"))]


def sources(settings: Settings, api: str | None) -> Iterator[tuple[str, Source]]:
    """Yield what can be asked on this machine; Prefect only where it has an address."""
    yield "mongodb", lambda: measurements(settings)
    yield "registry", lambda: production(settings)
    if api:
        yield "prefect", lambda: flow_runs(api)


def main() -> None:
    """Answer until SIGTERM or Ctrl-C."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    settings, exporter = get_settings(), get_exporter_settings()
    require_free(exporter.host, exporter.port, "EXPORTER_PORT")
    exported = CollectorRegistry()
    exported.register(Sources(tuple(sources(settings, configured_prefect_api()))))
    server, thread = start_http_server(exporter.port, exporter.host, exported)
    _log.info("Metrics of flows on http://%s:%s/metrics", exporter.host, exporter.port)
    ended = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: ended.set())
    ended.wait()
    server.shutdown()
    server.server_close()
    thread.join()


if __name__ == "__main__":
    main()
