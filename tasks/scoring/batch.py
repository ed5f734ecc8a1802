"""Scoring: inputs of any origin to predictions of the Production model, in batches.

What reads and what writes have threads of their own, one batch ahead and one batch behind: the
servers and disks work while the model does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from perennial.concurrency import ahead
from perennial.config.problem import Problem
from perennial.reasons import Reason

if TYPE_CHECKING:
    from uuid import UUID

T = TypeVar("T")
U = TypeVar("U")

_ARTIFACT_SECONDS = 2.0


@dataclass(frozen=True)
class ScoreResult:
    """Result of one run of the flow `score`.

    Attributes
    ----------
    problem : str
        Name of the problem.
    version : int
        The version that was in Production when the run began; all predictions are its.
    classified : int
        How many inputs were classified and written.
    skipped : mapping of Reason to int
        Why others could not be classified: reason -> how many.
    seconds : float
        From the first input read to the last prediction written.
    destination : str
        Where the predictions are: a collection or a file.
    """

    problem: str
    version: int
    classified: int
    skipped: Mapping[Reason, int]
    seconds: float
    destination: str


def overlapped(
    batches: Iterable[T], work: Callable[[T], U], write: Callable[[U], None]
) -> Iterator[U]:
    """Yield the result for each batch once it is written.

    While the caller's thread works on one batch, the next one is read in a second thread and the
    one before is written in a third: never more than three batches are in memory, and at most two
    of them have been worked on and not been written.
    """
    with ThreadPoolExecutor(1, "write") as thread:
        pending: tuple[Future[None], U] | None = None
        for batch in ahead(batches):
            done = work(batch)
            if pending is not None:
                pending[0].result()
                yield pending[1]
            pending = thread.submit(write, done), done
        if pending is not None:
            pending[0].result()
            yield pending[1]


class Progressing:
    """Shows how far a run is: a line in the terminal, an artifact in the Prefect UI."""

    def __init__(self, bar: Progress, artifact: UUID, total: int) -> None:
        self._bar, self._artifact, self._total = bar, artifact, total
        self._line = bar.add_task("score", total=total)
        self._done, self._shown_at = 0, time.monotonic()

    def advance(self, count: int) -> None:
        """Say that so many more are done; the artifact follows every few seconds."""
        self._done += count
        self._bar.advance(self._line, count)
        if time.monotonic() - self._shown_at > _ARTIFACT_SECONDS:
            update_progress_artifact(self._artifact, min(100.0, 100.0 * self._done / self._total))
            self._shown_at = time.monotonic()


@contextmanager
def progressing(problem: Problem, total: int) -> Iterator[Progressing]:
    """Show progress during the block; it ends at 100 % unless the block raises."""
    artifact = cast("UUID", create_progress_artifact(0.0, key=f"score-{problem.name}"))
    columns = *Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True) as bar:
        yield Progressing(bar, artifact, max(1, total))
    update_progress_artifact(artifact, 100.0)


def say(scored: ScoreResult) -> None:
    """Log what a run has done, and what it could not do."""
    logger = get_run_logger()
    logger.info(
        "Version %s classified %s in %.1f s; the predictions are in %s.",
        scored.version,
        f"{scored.classified:,}",
        scored.seconds,
        scored.destination,
    )
    for reason, count in scored.skipped.items():
        logger.warning("%s could not be classified: %s.", f"{count:,}", reason)
