"""What the tests of tasks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perennial.config.problem import Problem
from perennial.settings import Settings
from perennial.stores.snapshots import SnapshotStore
from tasks.data.ingest import IngestResult, ingest

Ingest = Callable[..., IngestResult]


@pytest.fixture
def store(problem: Problem, machine: Settings) -> SnapshotStore:
    return SnapshotStore(problem.name, machine)


@pytest.fixture
def ingest_now(problem: Problem, run_task: Callable[..., Any]) -> Ingest:
    def call(**options: Any) -> IngestResult:
        return run_task(ingest, problem, **options)

    return call
