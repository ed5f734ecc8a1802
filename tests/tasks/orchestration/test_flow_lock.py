"""Turns: one run of a flow for a problem at a time, whoever started it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from itertools import pairwise
from time import monotonic

from tasks.orchestration.flow_lock import is_taken, turn

# Prefect lets those who wait ask again after pauses of seconds, longer when it is busy.
_SECONDS = 280.0


def _start(work: Callable[[], None]) -> threading.Thread:
    """Start a thread that asks the same Prefect: its address is a setting of this context."""
    thread = threading.Thread(target=copy_context().run, args=(work,))
    thread.start()
    return thread


def test_of_those_that_want_a_turn_at_once_none_overlap(prefect_api: str) -> None:
    spans: list[tuple[float, float]] = []
    failures: list[Exception] = []
    together = threading.Barrier(3)

    def take() -> None:
        together.wait(timeout=_SECONDS)
        try:
            with turn("retrain", "crowded"):
                start = monotonic()
                # Long enough for others to come in, if they could.
                threading.Event().wait(0.2)
                spans.append((start, monotonic()))
        except Exception as error:  # noqa: BLE001 - the thread cannot raise it
            failures.append(error)

    threads = [_start(take) for _ in range(3)]
    for thread in threads:
        thread.join(timeout=_SECONDS)

    assert not failures
    assert len(spans) == 3
    assert all(end <= start for (_, end), (start, _) in pairwise(sorted(spans)))


def test_another_problem_does_not_wait(prefect_api: str) -> None:
    done = threading.Event()

    def other() -> None:
        with turn("retrain", "free"):
            done.set()

    with turn("retrain", "busy"):
        assert is_taken("retrain", "busy")
        assert not is_taken("retrain", "free")
        thread = _start(other)
        assert done.wait(timeout=_SECONDS)
    thread.join(timeout=_SECONDS)
    assert not is_taken("retrain", "busy")
