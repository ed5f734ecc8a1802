"""Lines of a log for programs: a JSON object for each thing that happens."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson


def json_line(record: logging.LogRecord, said: Mapping[str, Any]) -> str:
    """Return a record as a line of JSON.

    Parameters
    ----------
    record : logging.LogRecord
        What happened.
    said : mapping
        What else the line says, by name; None is left out.
    """
    line: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC),
        "level": record.levelname.lower(),
        "logger": record.name,
        # Half of a character, which a log may quote, is no JSON.
        "message": record.getMessage().encode("utf-8", "replace").decode(),
    }
    line |= {name: value for name, value in said.items() if value is not None}
    exception = record.exc_text
    if exception is None and record.exc_info:
        exception = logging.Formatter().formatException(record.exc_info)
    if exception is not None:
        line["exception"] = exception
    return orjson.dumps(line).decode()
