"""Traces: one span for each request, to an OpenTelemetry collector, if one is named.

Without the variable OTEL_EXPORTER_OTLP_ENDPOINT nothing of OpenTelemetry is loaded. All its other
variables, such as OTEL_SERVICE_NAME and OTEL_TRACES_SAMPLER, are read by its SDK.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from serving.telemetry.exchange import Exchange

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NAME = "perennial"
_FAILED = 500
_LAST_SECONDS = 2.0
_NANOSECONDS = 1_000_000_000


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the environment names a collector."""
    return any(environment.get(name) for name in _ENDPOINTS)


class Tracing:
    """Sends spans in the background; what the collector does not take is lost."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": _NAME}
        # Of our own: that of the process is BentoML's.
        self._provider = TracerProvider(resource=Resource.create(named))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(_NAME)
        self._propagator = TraceContextTextMapPropagator()
        self._kind = SpanKind.SERVER
        self._failed = Status(StatusCode.ERROR)

    def end(self) -> None:
        """Send what waits, if the collector takes it within seconds."""
        # Its own patience is longer than a worker has to end.
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(_LAST_SECONDS)

    def record(self, exchange: Exchange) -> str | None:
        """Add the span of a request; return the traceparent for whoever asked."""
        from opentelemetry.context import Context

        correlation, end = exchange.correlation, time.time_ns()
        sent = {"traceparent": correlation.traceparent, "tracestate": correlation.tracestate}
        carrier = {name: value for name, value in sent.items() if value is not None}
        parent = self._propagator.extract(carrier, Context()) if carrier else Context()
        span = self._tracer.start_span(
            f"{exchange.method} {exchange.route}",
            parent,
            self._kind,
            {
                "http.request.method": exchange.method,
                "http.route": exchange.route,
                "http.response.status_code": exchange.status,
                "perennial.request_id": correlation.request_id,
            },
            start_time=end - int(exchange.seconds * _NANOSECONDS),
        )
        if exchange.status >= _FAILED:
            span.set_status(self._failed)
        span.end(end)
        return self._written(span)

    def _written(self, span: Any) -> str | None:
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        return carrier.get("traceparent")
