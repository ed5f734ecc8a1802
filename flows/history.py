"""History: who changed Production, when and why.

perennial history sentiment
"""

from __future__ import annotations

from prefect import flow

from perennial.config.loader import load_problem
from perennial.registry.client import Change
from perennial.settings import get_settings
from tasks.orchestration.connect import connect
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.promotion.rollback import show_history


@flow(name="history", flow_run_name="history {problem}")
def history(problem: str = "sentiment") -> tuple[Change, ...]:
    """Show every promotion and rollback of a problem, the newest first.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    """
    quiet_prefect_logs()
    spec = load_problem(get_settings().problem_file(problem))
    return show_history(spec, connect())


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(history)
