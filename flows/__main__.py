"""Run a flow: ``python -m flows retrain`` does what ``python -m flows.retrain`` does, sooner.

The embedded servers start while this process is still importing its libraries, which takes seconds.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

import embedded
from settings import get_settings, uses_embedded_prefect

_NO_FLOWS = {"__init__", "__main__", "cli"}


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
        module = import_module(f"flows.{name}")
        import_module("flows.cli").main(getattr(module, name))


if __name__ == "__main__":
    run()
