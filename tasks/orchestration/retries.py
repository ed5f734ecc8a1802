"""How tasks fail: what is worth another try, and what a person reads."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

from prefect.client.schemas.objects import State, TaskRun

from perennial.errors import OutsideError, ProblemError, UnavailableError
from perennial.libraries import uses_embedded_prefect

# Failures that a person mends outside of the code; their message says everything.
EXPECTED = (OutsideError, ProblemError)
_NAMES = re.compile("OutsideError|UnavailableError|ProblemError")


def is_worth_retrying(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """Return whether a task failed because a server did not answer."""
    try:
        state.result()
    except UnavailableError:
        return True
    except Exception:  # noqa: BLE001 - any other failure is not worth it
        return False
    return False


# No step of a healthy run takes nearly as long; a server that never answers would.
NETWORK_SECONDS = 3600.0
# Fits of many candidates on a big snapshot may take hours; a fit that never converges takes all.
COMPUTING_SECONDS = 6 * 3600.0


class Retries(TypedDict):
    """How often a task is tried again, when, and how long it may take; keywords of a task."""

    timeout_seconds: float
    retries: int
    retry_delay_seconds: list[float]
    retry_jitter_factor: float
    retry_condition_fn: Callable[[Any, TaskRun, State[Any]], bool]


# For tasks that talk to a server and can be repeated as a whole.
NETWORK: Retries = {
    "timeout_seconds": NETWORK_SECONDS,
    "retries": 2,
    "retry_delay_seconds": [1.0, 5.0],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_worth_retrying,
}


class _Brief(logging.Filter):
    """Leave out of Prefect's log what tells a person nothing.

    That is the traceback of an expected failure, whose sentence says everything, the link to a
    page that the embedded server does not have, and that a fit in a thread is not interrupted when
    its time is over: it fails when it has ended, and nothing else can be set.
    """

    is_said_at_the_end = False

    def filter(self, record: logging.LogRecord) -> bool:
        message = str(record.msg)
        if record.exc_info and isinstance(record.exc_info[1], EXPECTED):
            record.exc_info, record.exc_text = None, None
            if self.is_said_at_the_end and message.startswith("Encountered exception"):
                return False
        # The flow has said, or is about to say, what its task and its state repeat.
        if message.startswith("Task run failed with exception") and _NAMES.search(message):
            return False
        if message.startswith("Finished in state Failed") and _NAMES.search(message):
            record.msg = "Finished in state Failed()"
        if message.startswith("Timeout of %s seconds configured for this task"):
            return False
        return not (uses_embedded_prefect() and message.startswith("View at"))


_BRIEF = _Brief()


def quiet_prefect_logs() -> None:
    """Make Prefect log an expected failure as its sentence alone, and no dead links."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_BRIEF)


@contextmanager
def said_at_the_end() -> Iterator[None]:
    """Leave an expected failure out of the log: the program says in its last line why it failed."""
    quiet_prefect_logs()
    _BRIEF.is_said_at_the_end = True
    try:
        yield
    finally:
        _BRIEF.is_said_at_the_end = False
