"""The command `perennial retire`: a problem that is not needed any more."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

from perennial.commands import command
from perennial.registry.client import open_registry
from perennial.settings import get_settings


def run_retire(problem: str, *, undo: bool) -> None:
    """Retire a problem, or bring it back; say what is left to do.

    Parameters
    ----------
    problem : str
        Name of the problem, whose file may be gone.
    undo : bool
        Whether to bring it back.

    Raises
    ------
    OutsideError
        If MLflow fails, or has no versions of it.
    """
    settings = get_settings()
    registry, file = open_registry(settings), settings.problem_file(problem)
    if undo:
        registry.bring_back(problem)
        _say(f"{problem!r} is active again: services answer it with their next look at MLflow.")
        if not file.exists():
            _say(f"{file} is not there; write it again, and run `{command('up')}` or apply.")
        return
    registry.retire(problem, datetime.now(UTC))
    _say(
        f"{problem!r} is retired: services let it go with their next look at MLflow, and it is not "
        "retrained. Its versions, snapshots and documents stay."
    )
    if file.exists():
        _say(
            f"Remove {file} and run `perennial apply`, and its deployments, metrics and alerts go "
            "as well."
        )
    _say(f"`{command('retire', problem, '--undo')}` brings it back.")


def _say(sentence: str) -> None:
    Console().print(sentence, highlight=False, soft_wrap=True, markup=False)
