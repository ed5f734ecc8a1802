"""One request is found again: in its answer, in the log, and in the trace that it belongs to."""

from __future__ import annotations

import gzip
import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.testclient import TestClient

from perennial.registry.model_version import ModelVersion
from serving.telemetry.exchange import correlate
from serving.telemetry.logs import ACCESS, RepeatLimit, configure
from tests.conftest import wait_until
from tests.small_models import GOOD

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Collector:
    """A receiver of spans over HTTP, as a collector is."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Write nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def spans(self) -> dict[str, Span]:
        """What it has received, by the id of the request."""
        found = {}
        for request in self.requests:
            for span in request.resource_spans[0].scope_spans[0].spans:
                values = {each.key: each.value for each in span.attributes}
                found[values["perennial.request_id"].string_value] = span
        return found

    def end(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    found = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.address)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    yield found
    found.end()


@pytest.fixture
def lines() -> Iterator[Callable[[], list[str]]]:
    """Return a function that returns what the log has; it is written as JSON."""
    written = io.StringIO()
    root = logging.getLogger()
    before, levels = root.handlers, {}
    for name in ("serving", "perennial", "bentoml", "uvicorn", "uvicorn.error", "circus"):
        logger = logging.getLogger(name)
        levels[logger] = logger.level, logger.handlers, logger.propagate
    with redirect_stdout(written):
        configure("json")
    yield lambda: written.getvalue().splitlines()
    root.handlers = before
    for logger, (level, handlers, propagate) in levels.items():
        logger.setLevel(level)
        logger.handlers, logger.propagate = handlers, propagate


def test_a_trace_of_a_request_has_its_id_in_answer_log_and_span(
    collector: Collector,
    lines: Callable[[], list[str]],
    production: ModelVersion,
    serve: Callable[..., Any],
) -> None:
    _, client = serve(access_log=True)
    wait_until(lambda: client.get("/readyz").status_code == 200, "ready")
    headers = {"X-Request-Id": "ticket-7", "traceparent": TRACEPARENT, "tracestate": "a=1"}

    answer = client.post("/v1/classify", json={"inputs": [GOOD]}, headers=headers)

    assert answer.headers["X-Request-Id"] == "ticket-7"
    span = wait_until(lambda: collector.spans.get("ticket-7"), "the span")
    assert span.name == "POST /classify"
    assert span.kind == Span.SPAN_KIND_SERVER
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == PARENT
    assert span.end_time_unix_nano > span.start_time_unix_nano
    assert answer.headers["traceparent"].startswith(f"00-{TRACE}-{span.span_id.hex()}-")
    values = {each.key: each.value for each in span.attributes}
    assert values["http.response.status_code"].int_value == 200
    resource = collector.requests[0].resource_spans[0].resource
    assert {each.key: each.value.string_value for each in resource.attributes}[
        "service.name"
    ] == "perennial"
    found = [json.loads(line) for line in lines()]
    (access,) = [each for each in found if each.get("request_id") == "ticket-7"]
    assert access["trace_id"] == TRACE
    assert (access["method"], access["route"], access["status"]) == ("POST", "/classify", 200)
    swaps = [each["message"] for each in found if each["logger"] == "serving.models.store"]
    assert swaps == ["'reviews' is answered by version 1."]


def test_a_failure_is_found_by_its_id(
    collector: Collector,
    lines: Callable[[], list[str]],
    production: ModelVersion,
    serve: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, client = serve()
    wait_until(lambda: client.get("/readyz").status_code == 200, "ready")
    monkeypatch.setattr("serving.api.scoring.answer", _fail)

    answer = client.post("/classify", json={"inputs": [GOOD]}, headers={"X-Request-Id": "lost"})

    assert answer.status_code == 500
    span = wait_until(lambda: collector.spans.get("lost"), "the span")
    assert span.status.code == 2
    (line,) = [json.loads(each) for each in lines() if '"lost"' in each]
    assert line["level"] == "error"
    assert "ZeroDivisionError" in line["message"]
    assert "secret" not in line["message"]


def _fail(*_: object, **__: object) -> None:
    raise ZeroDivisionError("secret")


def test_without_a_collector_nothing_of_it_is_there_and_the_trace_is_handed_back(
    client: TestClient,
) -> None:
    given = client.get("/livez", headers={"traceparent": TRACEPARENT})
    wrong = client.get("/livez", headers={"traceparent": TRACEPARENT.replace(TRACE, "0" * 32)})

    assert given.headers["traceparent"] == TRACEPARENT
    assert "traceparent" not in wrong.headers
    assert "traceparent" not in client.get("/livez").headers


def test_a_collector_that_is_away_costs_no_answer(
    production: ModelVersion, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    _, client = serve()
    wait_until(lambda: client.get("/readyz").status_code == 200, "ready")

    assert client.post("/classify", json={"inputs": [GOOD]}).status_code == 200


@given(st.binary(max_size=70))
def test_any_header_is_taken_or_left(value: bytes) -> None:
    found = correlate([(b"x-request-id", value), (b"traceparent", value), (b"tracestate", value)])

    assert found.request_id.isascii()
    assert found.traceparent is None or found.traceparent.encode() == value
    assert found.tracestate is None or found.traceparent is not None


def test_warnings_of_one_kind_are_bounded_and_the_access_log_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("serving.telemetry.logs.time", SimpleNamespace(monotonic=lambda: clock[0]))
    limit = RepeatLimit()

    def written(name: str, message: str, *args: object, level: int = logging.WARNING) -> str | None:
        record = logging.LogRecord(name, level, "", 0, message, args, None)
        return record.getMessage() if limit.filter(record) else None

    refused = "Invalid HTTP request received."
    noisy = [written("uvicorn.error", refused) for _ in range(100)]
    accesses = [written(ACCESS, "GET %d", number, level=logging.INFO) for number in range(100)]
    other = written("serving.other", "Another one %d.", 1)
    clock[0] += 61
    later = written("uvicorn.error", refused)

    assert noisy == [refused] * 10 + [None] * 90
    assert None not in accesses
    assert other == "Another one 1."
    assert later == f"{refused} (90 more warnings left out before)"


def test_any_message_is_one_line_of_json(lines: Callable[[], list[str]]) -> None:
    # Only to the service's own handler: half of a character cannot be in a test's report.
    ours = logging.getLogger().handlers[0]
    try:
        raise ValueError("http://user:secret@host")
    except ValueError:
        said = ("\ud83d",), sys.exc_info()
        ours.handle(
            logging.LogRecord("serving.any", logging.ERROR, "", 0, "It failed\nfor %s", *said)
        )

    # Threads of services of earlier tests may still end, and warn of it.
    (found,) = (each for each in map(json.loads, lines()) if each["logger"] == "serving.any")
    assert found["message"] == "It failed\nfor ?"
    assert "ValueError" in found["exception"]
