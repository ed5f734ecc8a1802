"""Roll back: Production back to the previous version, or to a named one.

perennial rollback sentiment --why "short texts come out wrong"
perennial rollback sentiment --version 3 --why "version 3 was right after all"
"""

from __future__ import annotations

from prefect import flow

from perennial.config.loader import load_problem
from perennial.errors import OutsideError
from perennial.registry.client import Change
from perennial.settings import get_settings
from perennial.stores.measurements import record
from tasks.orchestration.connect import connect
from tasks.orchestration.events import emit
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.promotion.rollback import choose_version, roll_back, show_history


@flow(name="rollback", flow_run_name="rollback {problem}")
def rollback(
    problem: str = "sentiment", *, why: str, version: int | None = None, by: str | None = None
) -> Change:
    """Put an earlier version into Production, or any other that still works.

    The version that is left is not promoted again by a retraining, unless a person names it.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    why : str
        The reason, for the history.
    version : int or None
        The version to go to; None for the one that was Production before.
    by : str or None
        Who decides it; None for the user of this process.
    """
    quiet_prefect_logs()
    if not why.strip():
        raise OutsideError("--why is empty; say in a sentence why Production has to change.")
    spec = load_problem(get_settings().problem_file(problem))
    registry = connect()
    move = choose_version(spec, registry, version)
    change = roll_back(spec, registry, move, why=why.strip(), by=by)
    emit("version.rolled-back", spec.name, version=change.before, reason=_reason(change))
    show_history(spec, registry)
    record("rollback", spec)
    return change


def _reason(change: Change) -> str:
    return f"Production is version {change.after} now, says {change.by}: {change.why}"


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(rollback)
