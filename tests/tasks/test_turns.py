"""Turns: one run of a flow for a problem at a time, whoever started it."""

from __future__ import annotations

import threading
from itertools import pairwise
from time import monotonic

from tasks.turns import turn


def test_of_those_that_want_a_turn_at_once_none_overlap(prefect_api: str) -> None:
    spans: list[tuple[float, float]] = []
    inside = threading.Event()

    def take() -> None:
        with turn("retrain", "crowded"):
            start = monotonic()
            assert not inside.is_set()
            inside.set()
            # Long enough for others to come in, if they could.
            threading.Event().wait(0.2)
            inside.clear()
            spans.append((start, monotonic()))

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=200)

    assert len(spans) == 3
    assert all(end <= start for (_, end), (start, _) in pairwise(sorted(spans)))


def test_another_problem_does_not_wait(prefect_api: str) -> None:
    done = threading.Event()

    def other() -> None:
        with turn("retrain", "free"):
            done.set()

    with turn("retrain", "busy"):
        thread = threading.Thread(target=other)
        thread.start()
        assert done.wait(timeout=100)
    thread.join(timeout=100)
