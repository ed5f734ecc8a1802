"""Run a flow from a shell: its parameters are the command's arguments and options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from griffe import Docstring, DocstringSectionKind
from prefect import Flow
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)
from rich.console import Console
from typer.models import ParameterInfo

from perennial.libraries import uses_embedded_prefect
from perennial.local import embedded
from perennial.settings import get_settings
from tasks.orchestration.retries import EXPECTED, said_at_the_end

HELP = ["--help", "-h"]


def main(
    flow: Flow[..., Any], arguments: Sequence[str] | None = None, program: str | None = None
) -> None:
    """Run a flow with the arguments of a command line; say in a sentence why it fails.

    Parameters
    ----------
    flow : Flow
        The flow.
    arguments : sequence of str, optional
        Its arguments and options; those of this process unless given.
    program : str, optional
        What the person has typed before them.
    """
    application(flow)(arguments, prog_name=program or f"python -m flows {flow.name}")


def application(flow: Flow[..., Any]) -> typer.Typer:
    """Return the command of a flow: its parser, and what runs it."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    summary, helps = (flow.fn.__doc__ or "").partition("\n")[0], {"help_option_names": HELP}
    app.command(help=summary, context_settings=helps)(_command(flow))
    return app


def _command(flow: Flow[..., Any]) -> Callable[..., None]:
    def command(*args: Any, **kwargs: Any) -> None:
        try:
            with said_at_the_end(), _prefect_api():
                flow(*args, **kwargs)
        except EXPECTED as error:
            said = f"{flow.name} failed. {error}"
            # A sentence is one line, which whoever reads it may cut.
            Console(stderr=True).print(said, style="red", markup=False, soft_wrap=True)
            raise typer.Exit(1) from None

    command.__signature__ = _signature(flow.fn)  # type: ignore[attr-defined]
    return command


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return a flow's signature as typer reads it: what is keyword-only becomes an option.

    A parameter that is annotated for typer, to have names of its own, keeps them.
    """
    hints, texts = get_type_hints(function, include_extras=True), descriptions(function)
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        option = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        kind, *further = get_args(hints[name]) if _is_annotated(hints[name]) else [hints[name]]
        info = (typer.Option if option else typer.Argument)()
        info = next((each for each in further if isinstance(each, ParameterInfo)), info)
        info.help = texts.get(name)
        parameters.append(parameter.replace(annotation=Annotated[kind, info]))
    return inspect.Signature(parameters)


def _is_annotated(hint: Any) -> bool:
    return get_origin(hint) is Annotated


def descriptions(function: Callable[..., Any]) -> dict[str, str]:
    """Return what a docstring says of each parameter: name -> text."""
    sections = Docstring(inspect.getdoc(function) or "").parse("numpy", warnings=False)
    return {
        parameter.name: " ".join(parameter.description.split())
        for section in sections
        if section.kind is DocstringSectionKind.parameters
        for parameter in section.value
    }


@contextmanager
def _prefect_api() -> Iterator[None]:
    """Use the configured Prefect API, or else the embedded one.

    A run from a shell gives Prefect no sign of life: those who watch runs watch the deployments',
    and to stop giving it takes up to a second at the end.
    """
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        if not uses_embedded_prefect():
            yield
            return
        with (
            embedded.server(get_settings(), "prefect") as port,
            temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}),
        ):
            yield
