"""Run a flow from a shell: ``perennial retrain`` and ``python -m flows retrain``.

The embedded servers start while this process is still importing its libraries, which takes seconds.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from perennial.libraries import uses_embedded_prefect
from perennial.local import embedded
from perennial.settings import get_settings

_NO_FLOWS = {"__main__"}
# Python's own thresholds are for programs that stay small: by these a retraining would look through
# all its documents again and again, for half a second in all.
_COLLECT_AFTER = (50_000, 20, 20)


def flow_names() -> list[str]:
    """Return the names of all flows, without importing one of them."""
    modules = {module.name for module in iter_modules([str(Path(__file__).parent)])}
    return sorted(modules - _NO_FLOWS)


def run_flow(name: str, arguments: Sequence[str], program: str) -> None:
    """Run a flow with the arguments of a command line, and end the process.

    Parameters
    ----------
    name : str
        One of `flow_names`.
    arguments : sequence of str
        The flow's arguments and options.
    program : str
        What the person has typed before them.
    """
    _Exit()(partial(_run, name, arguments, program))


def _run(name: str, arguments: Sequence[str], program: str, leave: Callable[[], None]) -> None:
    """Run a flow; `leave` is called at the end, when the libraries have sent what they hold."""
    with ExitStack() as servers:
        if {"--help", "-h"}.intersection(arguments):
            # Prefect looks for a home that nobody needs to be told something.
            warnings.filterwarnings("ignore", "Failed to create the Prefect home directory")
        else:
            _start_servers(servers)
        with _uncollected():
            # What is registered first is called last. PyMongo would wait up to half a second for
            # threads that hold nothing; the others, which are imported later, send what they hold.
            import_module("pymongo")
            atexit.register(leave)
            module, cli = import_module(f"flows.{name}"), import_module("tasks.orchestration.cli")
        cli.main(getattr(module, name), arguments, program)


def _start_servers(servers: ExitStack) -> None:
    settings = get_settings()
    if uses_embedded_prefect():
        servers.enter_context(embedded.starting(settings, "prefect"))
    if settings.mongodb_uri is None:
        servers.enter_context(embedded.starting(settings, "mongodb"))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Import without garbage collections: what libraries define stays for good.

    Collections during the imports, at the end of the process and over all modules in between cost
    a third of the time that a short run takes.
    """
    gc.disable()
    yield
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    gc.enable()


class _Exit:
    """Ends the process when everything has been said and closed.

    Python would go on to take apart all modules one by one, most of a second that serves nobody.
    """

    def __init__(self) -> None:
        self._status: int | None = None

    def __call__(self, main: Callable[[Callable[[], None]], None]) -> None:
        """Run the program; an error that nobody expects ends it in Python's own way."""
        try:
            main(self._leave)
        except SystemExit as end:
            if not isinstance(end.code, int | None):
                raise
            self._status = end.code or 0
            raise
        self._status = 0

    def _leave(self) -> None:
        if self._status is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self._status)


if __name__ == "__main__":
    if not set(flow_names()).intersection(sys.argv[1:2]):
        sys.exit(f"usage: python -m flows {{{','.join(flow_names())}}} [arguments] [--help]")
    run_flow(sys.argv[1], sys.argv[2:], f"python -m flows {sys.argv[1]}")
