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

import embedded
from settings import get_settings, uses_embedded_prefect

_NO_FLOWS = {"__init__", "__main__", "cli", "steps"}


def run() -> None:
    """Run the flow that the first argument names, with the other arguments."""
    flows = {file.stem for file in Path(__file__).parent.glob("*.py")} - _NO_FLOWS
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
            module, cli = import_module(f"flows.{name}"), import_module("flows.cli")
        cli.main(getattr(module, name))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Import without garbage collections: what libraries define stays for good.

    Collections during the imports, at the end of the process and over all modules in between cost
    a third of the time that a short run takes.
    """
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


class _Exit:
    """Ends the process when everything has been said and closed.

    Python would go on to take apart all modules one by one, most of a second that serves nobody.
    """

    def __init__(self) -> None:
        self._status: int | None = None
        # What is registered first is called last, after the libraries have sent what they hold.
        atexit.register(self._leave)

    def __call__(self, main: Callable[[], None]) -> None:
        """Run the program; an error that nobody expects ends it in Python's own way."""
        try:
            main()
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
