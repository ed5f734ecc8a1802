"""Run a flow from a shell: its parameters are the command's arguments and options."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from prefect import Flow
from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console

import embedded
from settings import get_settings, uses_embedded_prefect
from tasks.failures import EXPECTED, log_briefly


def main(flow: Flow[..., Any]) -> None:
    """Run a flow with the arguments of the command line; say in a sentence why it fails."""

    @functools.wraps(flow.fn)
    def command(*args: Any, **kwargs: Any) -> None:
        try:
            log_briefly()
            with _prefect_api():
                flow(*args, **kwargs)
        except EXPECTED as error:
            Console(stderr=True).print(f"{flow.name} failed. {error}", style="red", markup=False)
            raise typer.Exit(1) from None

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    app()


@contextmanager
def _prefect_api() -> Iterator[None]:
    """Use the configured Prefect API, or else the embedded one."""
    if not uses_embedded_prefect():
        yield
        return
    with (
        embedded.server(get_settings(), "prefect") as port,
        temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}),
    ):
        yield
