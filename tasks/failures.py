"""How tasks fail: what is worth another try, and what a person reads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypedDict

from prefect.client.schemas.objects import State, TaskRun

from modeling.problem import ProblemError
from settings import OutsideError, UnavailableError

# Failures that a person mends outside of the code; their message says everything.
EXPECTED = (OutsideError, ProblemError)


def is_worth_retrying(task: Any, task_run: TaskRun, state: State[Any]) -> bool:
    """Return whether a task failed because a server did not answer."""
    try:
        state.result()
    except UnavailableError:
        return True
    except Exception:
        return False
    return False


class Retries(TypedDict):
    """How often a task is tried again, and when; the keywords of a Prefect task."""

    retries: int
    retry_delay_seconds: list[float]
    retry_jitter_factor: float
    retry_condition_fn: Callable[[Any, TaskRun, State[Any]], bool]


# For tasks that talk to a server and can be repeated as a whole.
NETWORK: Retries = {
    "retries": 2,
    "retry_delay_seconds": [1.0, 5.0],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_worth_retrying,
}


class _WithoutTraceback(logging.Filter):
    """Leave the traceback out of what is logged about an expected failure."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], EXPECTED):
            record.exc_info, record.exc_text = None, None
        return True


_FILTER = _WithoutTraceback()


def log_expected_failures_briefly() -> None:
    """Make Prefect log an expected failure as its sentence alone."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_FILTER)
