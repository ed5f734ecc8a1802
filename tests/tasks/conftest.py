"""What the tests of tasks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perennial.config.problem import Problem
from perennial.settings import Settings
from perennial.stores.snapshots.store import SnapshotStore
from tasks.data.ingest import IngestResult, ingest

Ingest = Callable[..., IngestResult]


@pytest.fixture
def store(problem: Problem, machine: Settings) -> SnapshotStore:
    return SnapshotStore(problem.name, machine)


@pytest.fixture
def no_change_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server have no change stream, as one that is no replica set."""

    def none(collection: object) -> None:
        """There is no place in a stream."""

    monkeypatch.setattr("tasks.data.ingest.current_token", none)


@pytest.fixture
def ingest_now(problem: Problem, run_task: Callable[..., Any]) -> Ingest:
    def call(**options: Any) -> IngestResult:
        return run_task(ingest, problem, **options)

    return call
