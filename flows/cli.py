"""Run a flow from a shell: its parameters are the command's arguments and options."""

from __future__ import annotations

import functools
from typing import Any

import typer
from prefect import Flow
from rich.console import Console

from tasks.failures import EXPECTED


def main(flow: Flow[..., Any]) -> None:
    """Run a flow with the arguments of the command line; exit with 1 and one sentence if it fails."""

    @functools.wraps(flow.fn)
    def command(*args: Any, **kwargs: Any) -> None:
        try:
            flow(*args, **kwargs)
        except EXPECTED as error:
            Console(stderr=True).print(f"{flow.name} failed. {error}", style="red", markup=False)
            raise typer.Exit(1) from None

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    app()
