"""The command ``perennial``: all that people do, grouped by what they want.

It starts in a moment, since each command imports only what it needs. The commands of flows are the
files in ``flows/``; what they say of themselves is read from there without running them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

import perennial
from flows.__main__ import flow_names, run_flow
from perennial.commands import PROGRAM
from perennial.errors import OutsideError, ProblemError
from perennial.settings import get_settings

_BEGIN, _LEARN = "Begin", "Learn"
_PRODUCTION, _WATCH = "Decide what is in Production", "Watch and score"
_DATA = "Keep or erase documents"
_SYSTEM = "Run the system"
_PANELS = {
    "quickstart": _BEGIN,
    "seed": _BEGIN,
    "retrain": _LEARN,
    "experiment": _LEARN,
    "reproduce": _LEARN,
    "staleness": _LEARN,
    "erase": _DATA,
    "approve": _PRODUCTION,
    "rollback": _PRODUCTION,
    "history": _PRODUCTION,
    "monitor": _WATCH,
    "feedback": _WATCH,
    "quarantine": _WATCH,
    "migrate": _SYSTEM,
    "tidy": _SYSTEM,
    "score": _WATCH,
}
_OTHERS = "Other flows"
# The flow itself knows its arguments, and explains them.
_ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    name=PROGRAM,
    help=(perennial.__doc__ or "").partition(":")[0] + ".",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def main() -> None:
    """Run a command; what a person can mend ends it with a sentence."""
    try:
        app(prog_name=PROGRAM)
    except (OutsideError, ProblemError) as error:
        sys.exit(str(error))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {perennial.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version)
    ] = False,
) -> None: ...


@app.command("init", rich_help_panel=_BEGIN)
def init(
    name: Annotated[str, typer.Argument(help="Name of the new problem, such as tickets.")],
    *,
    file: Annotated[
        Path | None, typer.Option(help="A file with labelled rows, in any format that seed reads.")
    ] = None,
    collection: Annotated[
        str | None, typer.Option(help="A MongoDB collection instead: DATABASE.COLLECTION.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The column of the label; guessed unless given.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="The column of the text; guessed unless given.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="The encoding of the file; found unless given.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing and take the best guess.")
    ] = False,
) -> None:
    """Look at data, and write the problem's file that suits it."""
    from deployments.init import main as run_init

    run_init(
        name,
        file=file,
        collection=collection,
        label=label,
        text=text,
        encoding=encoding,
        asks=not yes and sys.stdin.isatty(),
    )


@app.command("check", rich_help_panel=_BEGIN)
def check(
    problems: Annotated[
        list[str] | None,
        typer.Argument(help="Names of problems, or paths of their files; all unless given."),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(help="Judge the rows of a file as seed and retrain would, and write nothing."),
    ] = None,
    documents: Annotated[
        bool,
        typer.Option(help="Judge the documents of the collection, where there is one."),
    ] = True,
    encoding: Annotated[
        str | None, typer.Option(help="The encoding of the file; found unless given.")
    ] = None,
    labels: Annotated[
        bool,
        typer.Option("--labels", help="List the labels that looked wrong to the last retraining."),
    ] = False,
) -> None:
    """Check the files of problems, and the data of one: nothing is written, nothing is trained."""
    from deployments.check import check_data, complaints, files_of, show_suspects, unread

    folder, names = get_settings().problems_dir, problems or []
    wrong = [] if names else list(unread(folder))
    files = files_of(folder, names)
    for each in files:
        found = list(complaints(each))
        if not found:
            typer.echo(f"{each}: no mistakes.")
        wrong += found
    for complaint in wrong:
        typer.secho(complaint, fg="red", err=True)
    if wrong:
        raise typer.Exit(1)
    if labels:
        show_suspects(files, names)
    elif not check_data(files, names, file, encoding=encoding, documents=documents):
        raise typer.Exit(1)


def _summary(name: str) -> str:
    """Return the first line of a flow's docstring, without importing the flow."""
    found = find_spec(f"flows.{name}")
    source = "" if found is None else Path(str(found.origin)).read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def _command(name: str) -> Callable[[typer.Context], None]:
    def command(context: typer.Context) -> None:
        run_flow(name, context.args, f"{PROGRAM} {name}")

    return command


for _name in (*_PANELS, *(set(flow_names()) - _PANELS.keys())):
    app.command(
        _name,
        help=_summary(_name),
        rich_help_panel=_PANELS.get(_name, _OTHERS),
        add_help_option=False,
        context_settings=_ANYTHING,
    )(_command(_name))


@app.command(rich_help_panel=_WATCH)
def status(
    problems: Annotated[
        list[str] | None, typer.Argument(help="Names of problems; all unless given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show how every problem is and what to do; the exit code is 1 if one is failing."""
    from deployments.status import show

    if show(problems or [], as_json=as_json):
        raise typer.Exit(1)


@app.command(rich_help_panel=_SYSTEM)
def backup(
    place: Annotated[
        str, typer.Argument(help="A folder or s3://BUCKET/PREFIX, in which a folder is made.")
    ],
    documents: Annotated[
        bool | None,
        typer.Option(help="Save the labelled documents; if not said, an embedded MongoDB's."),
    ] = None,
) -> None:
    """Save models, snapshots, logs, feedback and problems, consistent with each other."""
    from deployments.commands.backup import run_backup

    run_backup(place, documents=documents)


@app.command(rich_help_panel=_SYSTEM)
def retire(
    problem: Annotated[str, typer.Argument(help="Name of the problem; its file may be gone.")],
    undo: Annotated[bool, typer.Option("--undo", help="Bring it back.")] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove all that is kept of a retired problem.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Let go of a problem: it is neither answered nor retrained; its versions stay."""
    from deployments.commands.retire import run_delete, run_retire

    if not delete:
        run_retire(problem, undo=undo)
    elif yes or typer.confirm(f"Remove all versions, runs and snapshots of {problem}?"):
        run_delete(problem)


@app.command(rich_help_panel=_SYSTEM)
def restore(
    place: Annotated[str, typer.Argument(help="The folder that `perennial backup` has made.")],
) -> None:
    """Restore a backup where there is nothing yet; its files are verified before."""
    from deployments.commands.backup import run_restore

    run_restore(place)


@app.command(rich_help_panel=_SYSTEM)
def upgrade() -> None:
    """Bring what an earlier version has stored to this one; refuse what a newer one has."""
    from deployments.commands.upgrade import run_upgrade

    run_upgrade()


@app.command(rich_help_panel=_SYSTEM, context_settings=_ANYTHING)
def serve(context: typer.Context) -> None:
    """Answer requests with the Production model; further options are those of `bentoml serve`."""
    from serving.__main__ import main as run_service

    run_service(context.args)


@app.command(rich_help_panel=_SYSTEM)
def up() -> None:
    """Start Prefect, MLflow, MongoDB, a worker, the service and the exporter, in the background."""
    from deployments.local import main as run_local

    run_local(["up"])


@app.command(rich_help_panel=_SYSTEM)
def down() -> None:
    """End all that `up` started."""
    from deployments.local import main as run_local

    run_local(["down"])


@app.command(rich_help_panel=_SYSTEM)
def apply() -> None:
    """Give a Prefect server the deployments of every problem."""
    from deployments.apply import main as run_apply

    run_apply()


@app.command(rich_help_panel=_SYSTEM)
def exporter() -> None:
    """Export what flows have measured to Prometheus."""
    from deployments.exporter import main as run_exporter

    run_exporter()
