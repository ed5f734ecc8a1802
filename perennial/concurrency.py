"""Work on one thing while another is being made, or between the steps of another."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")
# Work that can be left after each step, and what comes of it.
Steps = Generator[None, None, T]

_END = object()


def ahead(values: Iterable[T]) -> Iterator[T]:
    """Yield the values, each made in a thread while the caller still works on the one before.

    That pays when making a value waits for a server, or runs outside the interpreter's lock as
    Arrow and NumPy do. At most one value is made ahead, so memory does not grow.
    """
    iterator = iter(values)
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, iterator, _END)
        while (value := following.result()) is not _END:
            following = thread.submit(next, iterator, _END)
            yield value  # type: ignore[misc]


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Do some work in a thread during the block, the end of which waits for it.

    That pays when the block leaves a processor idle. What the work raises is raised at the end.
    """
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(work)
        yield
        done.result()


def finish(steps: Steps[T]) -> T:
    """Return what comes of work in steps, all of which are done now."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: T = end.value
            return found


class OneThread:
    """Blocks during which BLAS has one thread, in as many threads of this process as need it.

    Threads of BLAS wait for each other by spinning: for short vectors that is most of what they do,
    and each of them takes a processor.
    """

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0
        self._limits: Any = None

    def __enter__(self) -> None:
        """Begin a block; the first one sets the limit."""
        from threadpoolctl import threadpool_limits

        with self._lock:
            if not self._inside:
                self._limits = threadpool_limits(1, "blas")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        """End a block; the last one takes the limit back."""
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limits.restore_original_limits()


ONE_THREAD = OneThread()
