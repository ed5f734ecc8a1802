"""Migrate: let a problem that was begun with an earlier release use the identity of today.

perennial migrate sentiment
"""

from __future__ import annotations

from prefect import flow

from perennial.config.loader import load_problem
from perennial.settings import get_settings
from tasks.data.migrate import Migration, migrate_identity
from tasks.orchestration.flow_lock import turn
from tasks.orchestration.retries import quiet_prefect_logs


@flow(name="migrate", flow_run_name="migrate {problem}")
def migrate(problem: str = "sentiment") -> Migration | None:
    """Say of a problem's documents which are the same by the rules of today, and what moves.

    The next retraining learns by the new split. It compares its challenger with Production only on
    documents that neither has learned from, whatever has moved.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    """
    quiet_prefect_logs()
    spec = load_problem(get_settings().problem_file(problem))
    with turn("retrain", spec.name):
        return migrate_identity(spec)


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(migrate)
