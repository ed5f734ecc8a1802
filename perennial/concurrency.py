"""Work on one thing while another is being made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

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
