"""What Prometheus reads: counted in each worker, summed over all of them.

With ``PROMETHEUS_MULTIPROC_DIR`` in the environment, as BentoML sets it, every worker writes its
values into a file of its own there, and any worker can answer for all.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
    start_http_server,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.values import MultiProcessValue

from perennial.config.answering.abstain import ABSTENTIONS
from perennial.packages.private_parts import PrivatePart
from perennial.prometheus import SERVICE
from perennial.reasons import INPUT_CODES, WarningCode
from serving.telemetry.dead_workers import DeadWorkers

METRICS_TYPE = CONTENT_TYPE_LATEST
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_LATENCY_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
_LENGTH_BUCKETS = (0, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OTHER = "other"
_AGREEMENTS = ("agree", "disagree")
_SHADOW_FAILED = "failed"
_OUTCOMES = _ANSWERED, _FAILED = ("answered", "failed")
_TAKE_OVER_SECONDS = 1.0

_log = logging.getLogger(__name__)
_H = TypeVar("_H", bound=Histogram)


_VALUES = PrivatePart("prometheus-client", "prometheus_client.values", "ValueClass")
_INSIDE = tuple(
    PrivatePart("prometheus-client", "prometheus_client.metrics", f"Histogram.{name}")
    for name in ("_upper_bounds", "_sum", "_buckets")
)


class _BatchHistogram(Histogram):
    """A histogram that counts many values in as few writes as there are buckets."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Count every amount."""
        counts: dict[int, int] = {}
        for amount in amounts:
            bucket = bisect_left(self._upper_bounds, amount)
            counts[bucket] = counts.get(bucket, 0) + 1
        self._sum.inc(sum(amounts))
        for bucket, count in counts.items():
            self._buckets[bucket].inc(count)


def _all_workers() -> CollectorRegistry | None:
    """Let this worker's metrics count with those of all others; None if it is the only one."""
    folder = os.environ.get(MULTIPROCESS_VARIABLE)
    if folder is None:
        return None
    _VALUES.require()
    # A worker never forks: it need not ask for its id at each count.
    pid = os.getpid()
    values.ValueClass = MultiProcessValue(lambda: pid)  # type: ignore[no-untyped-call]
    shared = CollectorRegistry()
    shared.register(_AllWorkers(folder))
    return shared


class Metrics:
    """The metrics of one worker.

    Label values are route templates, problems, versions, classes and statuses, never anything that
    a client has sent. What may be counted is announced as soon as it is known and stands at zero:
    of a counter that appears with its first event, Prometheus misses that event.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.shared = _all_workers() or self.registry
        self._requests = self._counter("app_request_count")
        self._latency = self._histogram(Histogram, "app_request_latency_seconds", _LATENCY_BUCKETS)
        self._predictions = self._counter("model_prediction_count")
        self._refused = self._counter("perennial_refused_inputs")
        self._abstained = self._counter("perennial_abstained_predictions")
        self._warnings = self._counter("perennial_input_warnings")
        self._characters = self._histogram(
            _BatchHistogram, "perennial_input_characters", _LENGTH_BUCKETS
        )
        self._info = self._gauge("perennial_model_info")
        self._swaps = self._counter("perennial_model_swaps")
        self._swap_failures = self._counter("perennial_model_swap_failures")
        self._model_refused = self._gauge("perennial_model_refused", mode="livemax")
        self._problem_requests = self._counter("perennial_problem_requests")
        self._canary_ratio = self._gauge("perennial_canary_traffic_ratio")
        self._shadow = self._counter("perennial_shadow_predictions")
        self._feedback = self._counter("perennial_feedback")
        self._dropped = self._counter("perennial_log_dropped_entries")
        self.queue_depth = self._gauge("perennial_log_queue_entries", mode="livesum")
        self.registry_up = self._gauge("perennial_registry_up", mode="livemin")
        self.cache_up = self._gauge("perennial_model_cache_up", mode="livemin")
        self._request_children: dict[tuple[str, str, int], Counter] = {}
        self._latency_children: dict[str, Histogram] = {}
        self._prediction_children: dict[tuple[str, int, str], Counter] = {}
        self._character_children: dict[str, _BatchHistogram] = {}
        self._dropped_children: dict[tuple[str, str], Counter] = {}
        self._outcome_children: dict[tuple[str, str], Counter] = {}

    def announce_requests(self, route: str, method: str, statuses: Iterable[int]) -> None:
        """Let the counts of requests to a route start at zero.

        Raises
        ------
        OutsideError
            If histograms lack what `_BatchHistogram` writes into.
        """
        histogram = self._latency.labels(route)
        for part in _INSIDE:
            part.require_on(histogram)
        for status in statuses:
            self._requests.labels(route, method, str(status))

    def announce_losses(self, kind: str, reasons: Iterable[str]) -> None:
        """Let the counts of what the log cannot keep start at zero."""
        for reason in reasons:
            self._dropped.labels(kind, reason)

    def announce_problem(self, problem: str) -> None:
        """Let the counts of swaps and refusals, of versions and of inputs, start at zero."""
        for code in INPUT_CODES:
            self._refused.labels(problem, code.value)
        for warning in WarningCode:
            self._warnings.labels(problem, warning.value)
        self._swaps.labels(problem)
        self._swap_failures.labels(problem)
        for outcome in _OUTCOMES:
            key = (problem, outcome)
            self._outcome_children[key] = self._problem_requests.labels(problem, outcome)

    def announce_version(
        self, problem: str, version: int, classes: Iterable[str], *, takes_texts: bool
    ) -> None:
        """Let the counts of a version's predictions, and of feedback on them, start at zero."""
        for label in classes:
            self._predictions.labels(problem, str(version), label)
        for reason in ABSTENTIONS:
            self._abstained.labels(problem, str(version), reason)
        for agreement in _AGREEMENTS:
            self._feedback.labels(problem, str(version), agreement)
        if takes_texts:
            self._characters.labels(problem)

    def announce_canary(self, problem: str, version: int) -> None:
        """Let the counts of what a canary predicts as a shadow start at zero."""
        for agreement in (*_AGREEMENTS, _SHADOW_FAILED):
            self._shadow.labels(problem, str(version), agreement)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that is answered."""
        key = (route, method, status)
        counter = self._request_children.get(key)
        if counter is None:
            name = method if method in METHODS else OTHER
            counter = self._requests.labels(route, name, str(status))
            if name != OTHER:
                self._request_children[key] = counter
        counter.inc()
        latency = self._latency_children.get(route)
        if latency is None:
            latency = self._latency_children[route] = self._latency.labels(route)
        latency.observe(seconds)

    def classified(self, problem: str, *, failed: bool = False) -> None:
        """Count a request that reached a model."""
        key = (problem, _FAILED if failed else _ANSWERED)
        counter = self._outcome_children.get(key)
        if counter is None:
            counter = self._outcome_children[key] = self._problem_requests.labels(*key)
        counter.inc()

    def predicted(self, problem: str, version: int, label: str, count: int) -> None:
        """Count predictions of one class."""
        key = (problem, version, label)
        counter = self._prediction_children.get(key)
        if counter is None:
            counter = self._predictions.labels(problem, str(version), label)
            self._prediction_children[key] = counter
        counter.inc(count)

    def refused(self, problem: str, codes: Iterable[str]) -> None:
        """Count inputs that could not be classified."""
        for code in codes:
            self._refused.labels(problem, code).inc()

    def warned(self, problem: str, code: str, count: int) -> None:
        """Count warnings about inputs that were answered."""
        self._warnings.labels(problem, code).inc(count)

    def abstained(self, problem: str, version: int, reason: str, count: int) -> None:
        """Count predictions whose label was not given."""
        self._abstained.labels(problem, str(version), reason).inc(count)

    def lengths(self, problem: str, characters: Sequence[int]) -> None:
        """Count the characters of each input."""
        histogram = self._character_children.get(problem)
        if histogram is None:
            histogram = self._character_children[problem] = self._characters.labels(problem)
        histogram.observe_all(characters)

    def loaded(self, problem: str, alias: str, version: int, *, here: bool) -> None:
        """Say whether an alias names a version here."""
        self._info.labels(problem, alias, str(version)).set(1 if here else 0)

    def swapped(self, problem: str) -> None:
        """Count a version that took over."""
        self._swaps.labels(problem).inc()

    def swap_failed(self, problem: str) -> None:
        """Count a version that was refused, or could not be fetched."""
        self._swap_failures.labels(problem).inc()

    def refuses(self, problem: str, alias: str, *, now: bool) -> None:
        """Say whether the version that an alias names is not used, for as long as that is so."""
        self._model_refused.labels(problem, alias).set(1 if now else 0)

    def canary(self, problem: str, *, share: float, shadow: bool) -> None:
        """Say which share of the requests the canary answers, or sees."""
        self._canary_ratio.labels(problem, "answer").set(0 if shadow else share)
        self._canary_ratio.labels(problem, "shadow").set(share if shadow else 0)

    def shadowed(self, problem: str, version: int, *, agreeing: int, differing: int) -> None:
        """Count the predictions of a shadow canary."""
        self._shadow.labels(problem, str(version), "agree").inc(agreeing)
        self._shadow.labels(problem, str(version), "disagree").inc(differing)

    def shadow_failed(self, problem: str, version: int) -> None:
        """Count a request that a shadow canary could not predict."""
        self._shadow.labels(problem, str(version), _SHADOW_FAILED).inc()

    def feedback(self, problem: str, version: int, *, agrees: bool) -> None:
        """Count a feedback that was kept."""
        self._feedback.labels(problem, str(version), "agree" if agrees else "disagree").inc()

    def dropped(self, kind: str, reason: str, count: int = 1) -> None:
        """Count what the log could not keep."""
        key = (kind, reason)
        counter = self._dropped_children.get(key)
        if counter is None:
            counter = self._dropped_children[key] = self._dropped.labels(kind, reason)
        counter.inc(count)

    def exposition(self) -> bytes:
        """Return the metrics of all workers in Prometheus' text format."""
        return generate_latest(self.shared)

    def _counter(self, name: str) -> Counter:
        family = SERVICE[name]
        return Counter(name, family.help, family.labels, registry=self.registry)

    def _gauge(self, name: str, mode: str = "livemax") -> Gauge:
        family = SERVICE[name]
        return Gauge(
            name,
            family.help,
            family.labels,
            registry=self.registry,
            multiprocess_mode=mode,  # type: ignore[arg-type]
        )

    def _histogram(self, kind: type[_H], name: str, buckets: Sequence[float]) -> _H:
        family = SERVICE[name]
        return kind(name, family.help, family.labels, buckets=buckets, registry=self.registry)


class MetricsPort:
    """Answers with the metrics on a port of its own.

    One worker has the port; when it dies, another takes it over within seconds.
    """

    def __init__(self, host: str, port: int | None) -> None:
        self._host, self._port = host, port
        self._ending = threading.Event()

    def start(self, metrics: Metrics) -> None:
        """Begin to answer, or to wait for the port."""
        if self._port is not None:
            threading.Thread(
                target=self._run, args=(self._port, metrics), name="metrics-port", daemon=True
            ).start()

    def end(self) -> None:
        """Stop answering."""
        self._ending.set()

    def _run(self, port: int, metrics: Metrics) -> None:
        while not self._ending.wait(_TAKE_OVER_SECONDS):
            try:
                server, thread = start_http_server(port, self._host, metrics.shared)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    _log.warning(
                        "SERVING_METRICS_PORT %s cannot be used: %s.", port, error.strerror
                    )
                    return
                continue
            self._ending.wait()
            server.shutdown()
            server.server_close()
            thread.join()


class _AllWorkers(Collector):
    """The values of all workers, of those that died as well."""

    def __init__(self, folder: str) -> None:
        self._dead = DeadWorkers(Path(folder))
        self._collector = MultiProcessCollector(None, folder)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        """Return what was counted, and what the living workers say about the present."""
        with self._dead.lock:
            self._dead.gather()
            collected: Iterable[Metric] = self._collector.collect()  # type: ignore[no-untyped-call]
        return collected
