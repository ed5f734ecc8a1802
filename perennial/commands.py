"""How messages name things to the people who read them: commands of the program, and counts."""

from __future__ import annotations

from typing import Literal

PROGRAM = "perennial"
Name = Literal[
    "approve",
    "check",
    "down",
    "erase",
    "experiment",
    "history",
    "init",
    "migrate",
    "quarantine",
    "restore",
    "retire",
    "retrain",
    "rollback",
    "score",
    "seed",
    "up",
    "upgrade",
]


def command(name: Name, *arguments: object) -> str:
    """Return a command of the program as a person types it: ``perennial retrain sentiment``.

    Parameters
    ----------
    name : str
        Name of the command.
    arguments : objects
        What follows it: problems, options and their values.
    """
    return " ".join([PROGRAM, name, *map(str, arguments)])


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return a count with what is counted: ``1 document``, ``2,000 documents``.

    Parameters
    ----------
    count : int
        How many.
    one : str
        What follows the number one, with its verb if that changes too.
    many : str, optional
        What follows every other number; `one` with an "s" unless given.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
