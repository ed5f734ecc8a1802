"""The program `perennial`, as messages name it to the people who read them."""

from __future__ import annotations

from typing import Literal

PROGRAM = "perennial"
Name = Literal[
    "approve", "history", "migrate", "quarantine", "retrain", "rollback", "score", "seed", "up"
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
