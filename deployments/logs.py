"""Logs of `make up`: each keeps its last megabytes, and those before them in a second file."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

LARGEST = 10_000_000


def rotate(log: Path, *, largest: int = LARGEST) -> None:
    """Move what a log holds to ``NAME.log.1``, in place of what is there, when it is too large.

    The program that writes goes on with the same file, which it has opened to append: the file is
    emptied and not replaced. A line that is written in that moment may be lost.

    Parameters
    ----------
    log : Path
        The log; nothing is done if it does not exist.
    largest : int
        Size in bytes up to which it stays.
    """
    with suppress(FileNotFoundError):
        if log.stat().st_size > largest:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)
