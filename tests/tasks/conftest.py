"""What the tests of tasks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from modeling.problem import Problem
from settings import Settings
from tasks.ingest import Ingested, ingest
from tasks.snapshots import SnapshotStore

Ingest = Callable[..., Ingested]


@pytest.fixture
def store(problem: Problem, machine: Settings) -> SnapshotStore:
    return SnapshotStore(problem.name, machine)


@pytest.fixture
def ingest_now(problem: Problem, run_task: Callable[..., Any]) -> Ingest:
    def call(**options: Any) -> Ingested:
        return run_task(ingest, problem, **options)

    return call
