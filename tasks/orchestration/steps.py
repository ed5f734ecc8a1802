"""How long the steps of a flow take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Steps:
    """Measures how long each step of a flow takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @property
    def metrics(self) -> dict[str, float]:
        """The durations as metrics of a run."""
        return {f"{name}.seconds": value for name, value in self.seconds.items()}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Measure the block as the step of that name."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start
