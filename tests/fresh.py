"""Code in a Python process of its own, for what holds only before anything is imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from perennial.settings import PROJECT

_SECONDS = 100


def run_fresh(
    code: str, environment: Mapping[str, str] | None = None, *, lines: int | None = 1
) -> str:
    """Return the last lines that code prints; its environment is this process's unless given.

    Parameters
    ----------
    code : str
        The program.
    environment : mapping of str to str, optional
        Its environment.
    lines : int or None
        How many of its last lines; None for all.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=True,
    )
    return "\n".join(done.stdout.splitlines()[-(lines or 0) :])
