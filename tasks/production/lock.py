"""The lock of a problem's Production: whoever moves it, or decides that it may move, holds this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from perennial.config.problem import Problem
from perennial.settings import get_settings
from perennial.stores import mongodb


@contextmanager
def production_lock(problem: Problem) -> Iterator[None]:
    """Hold the lock; promotions, rollbacks, answers and judgements of a canary take turns by it.

    Raises
    ------
    OutsideError
        If MongoDB, which keeps it, cannot be used, or another process holds it for too long.
    """
    with mongodb.connect(get_settings(), problem.name) as client:
        database = client[problem.source.database]
        with mongodb.lease(database, f"promote {problem.name}"):
            yield
