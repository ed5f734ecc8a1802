"""The log of the service: one line for each thing that happens, as text or as JSON."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Literal

from perennial.log_lines import json_line
from serving.telemetry.exchange import Exchange

LogFormat = Literal["text", "json"]
ACCESS = "serving.access"
_OURS = ("serving", "perennial")
# Those of BentoML and uvicorn that have a handler of their own, and hand on what it wrote besides.
_REPEATING = ("bentoml", "uvicorn", "uvicorn.error", "circus")
_TEXT = "%(asctime)s [%(levelname)s] [%(name)s] %(message)s%(correlation)s"
_DATE = "%Y-%m-%dT%H:%M:%S%z"
# What a record may say besides its message.
_FIELDS = (
    "problem",
    "version",
    "request_id",
    "trace_id",
    "method",
    "route",
    "status",
    "milliseconds",
)
_MOST_REPEATED = 10
_WINDOW_SECONDS = 60.0

_access = logging.getLogger(ACCESS)


def configure(form: LogFormat) -> None:
    """Write all logs of this process to its standard output, each once.

    Parameters
    ----------
    form : {"text", "json"}
        How a line is written.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Json() if form == "json" else _Text(_TEXT, _DATE))
    handler.addFilter(RepeatLimit())
    logging.getLogger().handlers = [handler]
    for name in _REPEATING:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.INFO)


def write_access(exchange: Exchange) -> None:
    """Write the line of the access log for a request."""
    milliseconds = round(1000 * exchange.seconds, 3)
    fields = {
        "request_id": exchange.correlation.request_id,
        "trace_id": exchange.correlation.trace_id,
        "method": exchange.method,
        "route": exchange.route,
        "status": exchange.status,
        "milliseconds": milliseconds,
    }
    message = "%s %s %d in %s ms"
    shown = exchange.method, exchange.route, exchange.status, milliseconds
    _access.info(message, *shown, extra=fields)


class RepeatLimit(logging.Filter):
    """Lets warnings of one kind through a limited number of times a minute.

    A client can cause a warning with each request; the next minute's first one says how many were
    left out. The access log has a line for each request.
    """

    def __init__(self) -> None:
        super().__init__()
        self._began = -_WINDOW_SECONDS
        self._seen: dict[tuple[str, int, Any], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is written."""
        if record.name == ACCESS or record.levelno < logging.WARNING:
            return True
        now = time.monotonic()
        if now - self._began >= _WINDOW_SECONDS:
            left_out, self._seen, self._began = self._left_out(), {}, now
            if left_out:
                record.msg = f"{record.getMessage()} ({left_out:,} more warnings left out before)"
                record.args = None
        kind = record.name, record.levelno, record.msg
        self._seen[kind] = self._seen.get(kind, 0) + 1
        return self._seen[kind] <= _MOST_REPEATED

    def _left_out(self) -> int:
        return sum(max(0, count - _MOST_REPEATED) for count in self._seen.values())


class _Text(logging.Formatter):
    """A line of text, with the id of the request where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        request_id = getattr(record, "request_id", None)
        is_said = request_id is None or request_id in record.getMessage()
        record.correlation = "" if is_said else f" (request {request_id})"
        return super().format(record)


class _Json(logging.Formatter):
    """A line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        return json_line(record, {name: getattr(record, name, None) for name in _FIELDS})
