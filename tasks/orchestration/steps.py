"""How long the steps of a flow take, and how much work of processors they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Steps:
    """Measures how long each step of a flow takes.

    Attributes
    ----------
    seconds : dict of str to float
        How long each has taken.
    processor_seconds : dict of str to float
        For how long processors worked meanwhile, for all threads of this process together. Beside
        other programs a step may take much longer than that.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor_seconds: dict[str, float] = {}

    @property
    def metrics(self) -> dict[str, float]:
        """The durations as metrics of a run."""
        return {f"{name}.seconds": value for name, value in self.seconds.items()}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Measure the block as the step of that name."""
        start, worked = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = time.perf_counter() - start
        self.processor_seconds[name] = time.process_time() - worked
