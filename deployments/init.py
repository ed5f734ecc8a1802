"""Write the file of a new problem: what is asked, and what is shown."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from perennial.profile.labels import LabelGuess
from perennial.settings import get_settings
from tasks.profiling.declare import declare
from tasks.profiling.report import columns_table, facts_table


def main(
    name: str,
    *,
    file: Path | None,
    collection: str | None,
    label: str | None,
    text: str | None,
    encoding: str | None,
    asks: bool,
) -> None:
    """Write the file of a new problem and show what it was made of.

    Parameters
    ----------
    name, file, collection, label, text, encoding
        As of `tasks.profiling.declare.declare`.
    asks : bool
        Whether a person answers what cannot be told.
    """
    declared = declare(
        get_settings(),
        name,
        file=file,
        collection=collection,
        label=label,
        text=text,
        encoding=encoding,
        choose=_ask_for_label if asks else None,
    )
    console = Console()
    console.print(columns_table(declared.draft).rich())
    console.print(facts_table(declared.draft).rich())
    console.print(f"{declared.path} is written. Next:", markup=False, highlight=False)
    for step in declared.next_steps:
        console.print(f"  {step}", markup=False, highlight=False, soft_wrap=True)


def _ask_for_label(guess: LabelGuess) -> str:
    names = [guess.column, *guess.others]
    while True:
        answer = typer.prompt(f"Which column is the label ({', '.join(names)})", guess.column)
        if answer in names:
            return str(answer)
        typer.echo(f"{answer!r} is none of them.")
