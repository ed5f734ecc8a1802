"""Run a flow: ``python -m flows retrain`` does what ``python -m flows.retrain`` does, sooner.

The embedded servers start while this process is still importing its libraries, which takes seconds.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path

from perennial.local import embedded
from perennial.settings import get_settings, uses_embedded_prefect

_NO_FLOWS = {"__init__", "__main__", "cli", "steps"}
# Python's own thresholds are for programs that stay small: by these a retraining would look through
# all its documents again and again, for half a second in all.
_COLLECT_AFTER = (50_000, 20, 20)


def run(leave: Callable[[], None]) -> None:
    """Run the flow that the first argument names, with the other arguments.

    Parameters
    ----------
    leave : callable
        Called at the end of the process, when the libraries have sent what they hold.
    """
    flows = flow_names()
    if not flows.intersection(sys.argv[1:2]):
        sys.exit(f"usage: python -m flows {{{','.join(sorted(flows))}}} [arguments] [--help]")
    name = sys.argv.pop(1)
    settings = get_settings()
    with ExitStack() as servers:
        if uses_embedded_prefect():
            servers.enter_context(embedded.starting(settings, "prefect"))
        if settings.mongodb_uri is None:
            servers.enter_context(embedded.starting(settings, "mongodb"))
        with _uncollected():
            # What is registered first is called last. PyMongo would wait up to half a second for
            # threads that hold nothing; the others, which are imported later, send what they hold.
            import_module("pymongo")
            atexit.register(leave)
            module, cli = import_module(f"flows.{name}"), import_module("flows.cli")
        cli.main(getattr(module, name))


def flow_names() -> set[str]:
    """Return the names of all flows."""
    return {file.stem for file in Path(__file__).parent.glob("*.py")} - _NO_FLOWS


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
        else:
            self._status = 0

    def _leave(self) -> None:
        if self._status is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self._status)


if __name__ == "__main__":
    _Exit()(run)
