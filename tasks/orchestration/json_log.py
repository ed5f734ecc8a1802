"""The log of flows as JSON: which flow, problem and run a line belongs to."""

from __future__ import annotations

import logging
import os
from typing import Any, TextIO

from perennial.log_lines import json_line
from perennial.settings import get_settings

# Prefect reads the parts of its logging.yml from the environment, and so do the runs it starts.
_CLASS = "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS"


def prepare_json_log() -> None:
    """Let Prefect write its log as JSON, if LOG_FORMAT says so; before Prefect is imported."""
    if get_settings().log_format == "json":
        os.environ.setdefault(_CLASS, f"{__name__}.JsonHandler")


class JsonHandler(logging.StreamHandler[TextIO]):
    """Writes a line of JSON for each record, in place of Prefect's handler for a terminal.

    Parameters
    ----------
    stream : TextIO
        Where to.
    styles : object
        The colours of a terminal, which are not used.
    """

    def __init__(self, stream: TextIO | None = None, styles: object = None) -> None:
        del styles
        super().__init__(stream)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return json_line(record, _said(record))


def _said(record: logging.LogRecord) -> dict[str, Any]:
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    parameters = context.parameters if context is not None else None
    return {
        "flow": getattr(record, "flow_name", None),
        "problem": (parameters or {}).get("problem"),
        "version": getattr(record, "version", None),
        "run_id": getattr(record, "flow_run_id", None),
        "task": getattr(record, "task_run_name", None),
    }
