"""The exporter: what flows, registry and Prefect know, for Prometheus and for people.

python -m deployments.exporter

A flow's process has ended long before Prometheus comes by, so that it cannot be asked itself. A
push gateway would need a disk and a clean-up of its own, and show for ever what a problem that is
gone has pushed; here the numbers lie in MongoDB beside the documents, any machine may run the flow,
and every restart of the exporter finds them again. People read the same on the console.
"""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.console.app import Console, links
from deployments.console.board import Board
from deployments.console.histories import Histories, from_registry
from deployments.deployed import deployed_flows
from perennial.config.loader import load_problems
from perennial.errors import OutsideError
from perennial.libraries import configured_prefect_api
from perennial.local.ports import require_free
from perennial.prometheus import EXPORTER, FLOWS, PREFIX
from perennial.registry.client import PRODUCTION, open_registry
from perennial.settings import Settings, get_console_settings, get_exporter_settings, get_settings
from perennial.status.rules import RULES
from perennial.status.runs import TAG, pages, prefect_client
from perennial.stores import mongodb
from perennial.stores.measurements import latest

# However many ask, the servers behind are asked this often.
_FRESH_SECONDS = 10.0
_WINDOW = timedelta(hours=1)
_PACKED_BYTES = 1000
_GRACE_SECONDS = 5
_UNKNOWN = "unknown"
_PENDING = "PENDING"
_STATES = (
    "scheduled", "late", "pending", "running", "retrying", "awaitingretry", "paused", "suspended",
    "cancelling", "cancelled", "completed", "failed", "crashed", "timedout",
)  # fmt: skip
_EXPORTED = EXPORTER | FLOWS
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """One value of a metric, whose name lacks the prefix."""

    name: str
    value: float
    labels: tuple[tuple[str, str], ...]


def sample(name: str, value: float, **labels: str) -> Sample:
    """Return a value with its labels in order.

    Raises
    ------
    ValueError
        If there is no such metric, or it has other labels.
    """
    described = _EXPORTED.get(PREFIX + name)
    if described is None or set(described.labels) != labels.keys():
        raise ValueError(
            f"perennial.prometheus lists no metric {PREFIX}{name} with the labels {sorted(labels)}."
        )
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
            except Exception as error:  # noqa: BLE001 - no failure of one source hides the others
                if name not in self._failing:
                    unexpected = None if isinstance(error, OutsideError) else error
                    _log.warning("%s", error, exc_info=unexpected)
                self._failing.add(name)
                yield sample("source_up", 0, source=name)
                continue
            self._failing.discard(name)
            yield sample("source_up", 1, source=name)
            yield from found


def _families(samples: Iterable[Sample]) -> Iterator[Metric]:
    """Group samples by metric, as the text format wants them."""
    groups: dict[str, list[Sample]] = {}
    for each in samples:
        groups.setdefault(each.name, []).append(each)
    for name, members in groups.items():
        described = _EXPORTED[PREFIX + name]
        family = GaugeMetricFamily(described.name, described.help, labels=described.labels)
        for member in members:
            values = dict(member.labels)
            family.add_metric([values[label] for label in described.labels], member.value)
        yield family


class ProblemFiles:
    """The source that says which problem files can be used; a mistake is logged once.

    Parameters
    ----------
    folder : Path
        Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logged: set[str] = set()

    def __call__(self) -> Iterator[Sample]:
        """Yield 1 for each file that can be used, and 0 for each other."""
        loaded = load_problems(self._folder)
        warnings = loaded.warnings()
        for warning in warnings:
            if warning not in self._logged:
                _log.warning("%s", warning)
        self._logged = set(warnings)
        for problem in loaded.problems:
            yield _file_sample(problem.name, valid=True)
        for name in loaded.errors:
            yield _file_sample(name, valid=False)


def _file_sample(problem: str, *, valid: bool) -> Sample:
    return sample("problem_file_valid", float(valid), problem=problem, file=f"{problem}.yaml")


def measurements(settings: Settings, server: str | None = None) -> Iterator[Sample]:
    """Yield what the last success of each flow and problem measured.

    Parameters
    ----------
    settings : Settings
        Where problems and MongoDB are.
    server : str or None
        The problem whose own MongoDB is asked; None for the one of all others.

    Raises
    ------
    OutsideError
        If MongoDB does not answer.
    """
    loaded = load_problems(settings.problems_dir)
    known = {problem.name for problem in loaded.problems} | loaded.errors.keys()
    members = mongodb.by_server(settings, known).get(server, [])
    databases = {each.source.database for each in loaded.problems if each.name in members}
    with mongodb.connect(settings, server) as client:
        for database in sorted(databases):
            for measured in latest(client[database]):
                if measured.problem not in members:
                    # Its file is gone: nobody is to be told about it.
                    continue
                of = {"flow": measured.flow, "problem": measured.problem}
                at = measured.at.timestamp()
                yield sample("flow_last_success_timestamp_seconds", at, **of)
                for gauge in measured.gauges:
                    yield sample(gauge.name, gauge.value, **gauge.labels, **of)


def production(settings: Settings) -> Iterator[Sample]:
    """Yield what the registry says about each problem's Production, and about what waits to be.

    Raises
    ------
    OutsideError
        If MLflow does not answer.
    """
    registry = open_registry(settings)
    loaded = load_problems(settings.problems_dir)
    known = {problem.name for problem in loaded.problems} | loaded.errors.keys()
    every = registry.problems()
    known -= {each.problem for each in every if each.retired is not None}
    for version in registry.waiting():
        if version.question is not None and version.problem in known:
            of = {"problem": version.problem, "version": str(version.version)}
            until = version.question.until.timestamp()
            yield sample("answer_deadline_timestamp_seconds", until, **of)
    for aliases in every:
        number = aliases.versions.get(PRODUCTION)
        if number is None or aliases.problem not in known:
            continue
        version = registry.version(aliases.problem, number)
        of = {"problem": version.problem}
        yield sample("production_version", number, **of)
        since = version.since(PRODUCTION)
        if since is not None:
            yield sample("production_since_timestamp_seconds", since.timestamp(), **of)
        for metric, value in version.metrics.items():
            yield sample("holdout_metric", value, metric=metric, version=str(number), **of)


def findings(board: Board) -> Iterator[Sample]:
    """Yield what the rules of `perennial status` find, and until when flows are due.

    Raises
    ------
    OutsideError
        If the last look at the problems has failed.
    """
    if board.failed:
        raise OutsideError(board.failed)
    gathered = board.gathered
    for entry in gathered.entries if gathered else ():
        facts, problem = entry.facts, entry.facts.name
        if facts.versions.retired is not None:
            continue
        rules = {finding.rule for finding in entry.findings}
        for rule in RULES:
            of = {"problem": problem, "rule": rule.name}
            yield sample("problem_finding", float(rule.name in rules), **of)
        for flow, until in facts.due.items():
            if flow not in facts.automatic.paused:
                due = until.timestamp()
                yield sample("flow_deadline_timestamp_seconds", due, flow=flow, problem=problem)
        for flow in facts.automatic.deployments:
            failed = float(flow in facts.automatic.failed)
            yield sample("flow_failed", failed, flow=flow, problem=problem)


def disk(settings: Settings) -> Iterator[Sample]:
    """Yield how much of the disk of the data is free."""
    if settings.data_dir.exists():
        usage = shutil.disk_usage(settings.data_dir)
        yield sample("disk_free_ratio", usage.free / usage.total)


def flow_runs(api: str) -> Iterator[Sample]:
    """Yield how many runs of this project's deployments were in which state in the last hour.

    Every state in which a worker has a run that does not run yet is pending, whatever its name, and
    counts for as long as it lasts. Runs of other teams do not count, nor those that are to come.

    Raises
    ------
    OutsideError
        If Prefect does not answer.
    """
    now = datetime.now(UTC)
    since = (now - _WINDOW).isoformat()
    # A state that no run is in is a zero: what is not there can be neither seen nor judged. Nor can
    # a flow that has not run yet, of which Prefect does not know.
    counts = {(flow, "", state): 0 for flow in sorted(deployed_flows()) for state in _STATES}
    with prefect_client(api) as client:
        flows = {flow["id"]: flow["name"] for flow in pages(client, "/flows/filter", {})}
        ours = {"deployments": {"tags": {"all_": [TAG]}}}
        problems = {each["id"]: each["name"] for each in pages(client, "/deployments/filter", ours)}
        for chosen in (
            {"expected_start_time": {"after_": since, "before_": now.isoformat()}},
            {
                "expected_start_time": {"before_": since},
                "state": {"type": {"any_": [_PENDING]}},
            },
        ):
            wanted = {**ours, "flow_runs": chosen, "sort": "EXPECTED_START_TIME_DESC"}
            for run in pages(client, "/flow_runs/filter", wanted):
                problem = problems.get(run["deployment_id"], "")
                key = (flows.get(run["flow_id"], _UNKNOWN), problem, _state(run))
                counts[key] = counts.get(key, 0) + 1
    for (flow, problem, state), count in counts.items():
        yield sample("flow_runs_last_hour", count, flow=flow, problem=problem, state=state)


def _state(run: dict[str, str]) -> str:
    name = _PENDING if run["state_type"] == _PENDING else run["state_name"]
    return (name or _UNKNOWN).lower()


def sources(settings: Settings, api: str | None, board: Board) -> Iterator[tuple[str, Source]]:
    """Yield what can be asked on this machine; Prefect only where it has an address."""
    yield "problems", ProblemFiles(settings.problems_dir)
    yield "status", lambda: findings(board)
    yield "disk", lambda: disk(settings)
    yield "mongodb", lambda: measurements(settings)
    for problem in sorted(settings.mongodb_uris):
        yield f"mongodb of {problem}", partial(measurements, settings, problem)
    yield "registry", lambda: production(settings)
    if api:
        yield "prefect", lambda: flow_runs(api)


def application(settings: Settings, console: Console, board: Board) -> Starlette:
    """Return what answers at the exporter's port: the console, and the metrics for Prometheus."""
    exported = CollectorRegistry()
    exported.register(Sources(tuple(sources(settings, configured_prefect_api(), board))))

    # No coroutine: a source that is slow holds nobody else up.
    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(exported), headers={"Content-Type": content_type})

    return Starlette(
        routes=[Route("/metrics", metrics), *console.routes],
        middleware=[Middleware(GZipMiddleware, minimum_size=_PACKED_BYTES)],
    )


def main() -> None:
    """Answer until SIGTERM or Ctrl-C."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings, exporter = get_settings(), get_exporter_settings()
    decided = get_console_settings()
    require_free(exporter.host, exporter.port, "EXPORTER_PORT")
    board = Board(settings, decided.refresh_seconds)
    histories = Histories(from_registry(settings))
    folder = settings.problems_dir.parent
    console = Console(board, histories, decided, links(settings, decided), folder)
    server = uvicorn.Server(
        uvicorn.Config(
            application(settings, console, board),
            host=exporter.host,
            port=exporter.port,
            access_log=False,
            log_config=None,
            log_level="warning",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    ended = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: ended.set())
    board.start()
    # Not in this thread, where uvicorn would end the process by the signal that it got.
    answering = threading.Thread(target=server.run, name="server")
    answering.start()
    address = f"http://{exporter.host}:{exporter.port}"
    _log.info("Console on %s/console, metrics of flows on %s/metrics", address, address)
    ended.wait()
    board.end()
    server.should_exit = True
    answering.join()


if __name__ == "__main__":
    main()
