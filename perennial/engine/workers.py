"""Workers that do the parts of a run, and sentences about what happens to them.

A part says by names of files what is to be done, on storage that the run shares with the workers,
and returns little: no data travel through the scheduler. What was on a worker that ends is done
again by another one, so a part must come to the same however often it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib import import_module
from socket import gethostname
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from pydantic import TypeAdapter

from perennial import __version__
from perennial.commands import counted
from perennial.errors import OutsideError, UnavailableError

if TYPE_CHECKING:
    from distributed import Client, Future

P = TypeVar("P")
T = TypeVar("T")

# What workers do, by module and name.
_WORK: dict[str, Callable[[Any], Any]] = {}


def for_workers(work: Callable[[P], T]) -> Callable[[P], T]:
    """Let workers do what a function does: they do nothing else that they are told.

    Its part is passed as JSON: a dataclass, or another type that pydantic reads from it.
    """
    _WORK[_name_of(work)] = work
    return work


class LostWorkersError(OutsideError):
    """Several workers ended while they did one part, which is most likely too large for them."""


class Engine:
    """Workers that are connected.

    Parameters
    ----------
    client : Client
        Dask's client of them.
    name : str
        What leads to them, with the setting that says so, without its article.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client, self.name = client, name

    @property
    def places(self) -> int:
        """How many parts are done at once by the workers that are there now."""
        with self._explained():
            threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def done(
        self, work: Callable[[P], T], parts: Sequence[P], *, seconds: float | None = None
    ) -> Iterator[tuple[P, T]]:
        """Yield each part, as soon as it is done, with what the work on it returned.

        Parameters
        ----------
        work : callable
            A function that `for_workers` has let them do.
        parts : sequence
            What it is called with, in the order in which workers take them.
        seconds : float, optional
            What is not done after so long is not yielded.

        Raises
        ------
        LostWorkersError
            If several workers ended with the same part.
        UnavailableError
            If the scheduler is lost.
        OutsideError
            If workers cannot do the work, or what the work raises.
        """
        from distributed import as_completed

        with self._explained():
            futures = {
                self._client.submit(
                    _do, _name_of(work), _written_as(work).dump_json(part), __version__, pure=False
                ): part
                for part in parts
            }
        try:
            for future in as_completed(futures, loop=self._client.loop, timeout=seconds):
                yield futures[future], self._result(future)
        except TimeoutError:
            return
        finally:
            # What is left of them is not needed any more; who has lost the scheduler need not ask.
            with suppress(Exception):
                self._client.cancel(list(futures))

    def _result(self, future: Future) -> Any:
        from distributed import KilledWorker

        if future.status != "error":
            with self._explained():
                return future.result()
        error = future.exception()
        if isinstance(error, KilledWorker):
            raise LostWorkersError(
                f"{counted(_deaths(error), 'worker')} of the {self.name} ended one after the other "
                "with the same part of the run, as happens when they have too little memory for "
                "it; give each of them more."
            ) from error
        if isinstance(root := _root(error), ImportError):
            raise OutsideError(
                f"The {self.name} cannot import what this run needs ({root}); start the scheduler "
                f"and its workers where perennial {__version__} is installed."
            ) from error
        raise error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in one sentence that the scheduler is lost."""
        from distributed.client import FutureCancelledError

        try:
            yield
        except (FutureCancelledError, OSError) as error:
            raise UnavailableError(
                f"The {self.name} was lost in the middle of the run, of which nothing half-done is "
                "kept; start it again, and then the run, or unset ENGINE to do it on this machine."
            ) from error


def _root(error: BaseException) -> BaseException:
    """Return what an error was raised for in the first place."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _deaths(error: Any) -> int:
    return int(error.allowed_failures) + 1


def _name_of(work: Callable[..., Any]) -> str:
    return f"{work.__module__}:{work.__qualname__}"


@lru_cache
def _written_as(work: Callable[[Any], Any]) -> TypeAdapter[Any]:
    """Return what writes and reads the parts of a function."""
    return TypeAdapter(next(iter(get_type_hints(work).values())))


def _do(name: str, written: bytes, release: str) -> Any:
    """Do a part; it runs in a worker.

    Raises
    ------
    OutsideError
        If the worker has another release of the code, or cannot read or write files of the run.
    ValueError
        If the function is none that workers do.
    """
    if release != __version__:
        raise OutsideError(
            f"A worker of the engine has perennial {__version__}, and the run {release}; start the "
            "workers that DASK_SCHEDULER leads to from the same image or environment as the run."
        )
    import_module(name.partition(":")[0])
    if name not in _WORK:
        raise ValueError(f"{name} is no work of the engine.")
    work = _WORK[name]
    try:
        return work(_written_as(work).validate_json(written))
    except OSError as error:
        raise OutsideError(
            f"A worker of the engine on {gethostname()} cannot use the files of the run ({error}); "
            "its storage must have room, and be that of the run at the same place (DATA_DIR)."
        ) from error
