"""The command `perennial retire`: a problem that is not needed any more."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

from perennial.backup.archive import remove_below
from perennial.commands import command, counted
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.registry.client import open_registry
from perennial.settings import Settings, get_settings
from perennial.stores import mongodb
from perennial.stores.dropped import COLLECTION as DROPPED
from perennial.stores.measurements import COLLECTION as MEASUREMENTS
from tasks.monitoring.alarm import COLLECTION as ALARMS
from tasks.orchestration.flow_lock import turn
from tasks.scoring.collection import scores_name


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


def run_delete(problem: str) -> None:
    """Remove all that is kept of a retired problem, but for its documents and its file.

    Parameters
    ----------
    problem : str
        Name of the problem, whose file may be gone.

    Raises
    ------
    OutsideError
        If it is not retired, or something cannot be removed; the next call goes on.
    """
    settings = get_settings()
    registry, file = open_registry(settings), settings.problem_file(problem)
    aliases = registry.aliases_of(problem)
    if aliases is not None and aliases.retired is None:
        raise OutsideError(
            f"{problem!r} is not retired; run `{command('retire', problem)}` before it is removed."
        )
    with turn("retrain", problem):
        # What services look at goes last: until then the problem counts as retired.
        remove_below(f"{settings.snapshots_uri}/{problem}", settings)
        if file.exists():
            _remove_from_mongodb(load_problem(file), settings)
        models, runs = registry.remove_problem(problem)
    _say(
        f"Of {problem!r} {counted(models, 'model')}, {counted(runs, 'run')} and all snapshots are "
        "removed; its documents stay in MongoDB, and backups are as they were."
    )
    if file.exists():
        _say(f"Remove {file} as well, or the next retraining begins anew.")
    else:
        _say("Its file is gone, so that figures of it in MongoDB could not be looked for.")


def _remove_from_mongodb(problem: Problem, settings: Settings) -> None:
    """Remove what flows have kept of a problem beside its documents."""
    with mongodb.connect(settings, problem.name) as client:
        database = client[problem.source.database]
        for name in (MEASUREMENTS, DROPPED):
            database[name].delete_many({"problem": problem.name})
        database[ALARMS].delete_one({"_id": problem.name})
        database[scores_name(problem.source.collection, problem.name)].drop()


def _say(sentence: str) -> None:
    Console().print(sentence, highlight=False, soft_wrap=True, markup=False)
