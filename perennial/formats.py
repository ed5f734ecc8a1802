"""Formats: the version of each kind of thing that is stored, and of what this code can read.

What carries no number was written before there were numbers, and is of the first format. A format
gets its next number when a reader of the one before would misread what is written, or stumble.
"""

from __future__ import annotations

from typing import Final

import perennial
from perennial.errors import OutsideError

# The file of a problem; its key `format`.
PROBLEM_FILE: Final = 1
# The table of snapshots: 1 had a row for each document that was ever read, 2 is the history of
# revisions. Each snapshot's record says it.
SNAPSHOT: Final = 2
# A registered version: its tags, the file of its model and the golden examples. A tag says it.
VERSION: Final = 1


def require_readable(what: str, found: int, known: int) -> None:
    """Return if something that is stored can be read by this code.

    Parameters
    ----------
    what : str
        What it is, as the beginning of a sentence.
    found : int
        Its format.
    known : int
        The newest format that this code reads.

    Raises
    ------
    OutsideError
        If its format is newer.
    """
    if found > known:
        raise OutsideError(too_new(what, found, known))


def too_new(what: str, found: int, known: int) -> str:
    """Return the sentence that says that something was written for a newer version of the code."""
    return (
        f"{what} has format {found}, and Perennial {perennial.__version__} reads formats up to "
        f"{known}; use the newer version of Perennial that wrote it."
    )
