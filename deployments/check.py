"""Check the files of problems: what is wrong in them, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from perennial.config.loader import load_problem
from perennial.errors import OutsideError, ProblemError


def files_of(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the files of these problems, or of all in the folder.

    Parameters
    ----------
    folder : Path
        The folder of the problems.
    names : sequence of str
        Names of problems, or paths of their files.

    Raises
    ------
    OutsideError
        If there is none.
    """
    if names:
        return [Path(name) if _is_path(name) else folder / f"{name}.yaml" for name in names]
    found = sorted(folder.glob("*.yaml"))
    if not found:
        raise OutsideError(
            f"There is no problem in {folder}; write NAME.yaml there, or let "
            "`perennial quickstart` write an example."
        )
    return found


def complaints(file: Path) -> Iterator[str]:
    """Yield a sentence about each mistake in a problem's file."""
    try:
        load_problem(file)
    except ProblemError as error:
        yield from str(error).splitlines()


def unread(folder: Path) -> Iterator[str]:
    """Yield a sentence about each file that looks like a problem and is not read."""
    for file in sorted(folder.glob("*.yml")):
        yield f"{file} is not read; the ending of a problem's file is .yaml."


def _is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or "/" in name
