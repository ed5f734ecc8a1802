"""Tidy: what retrainings left and nothing needs any more.

perennial tidy sentiment --dry-run
"""

from __future__ import annotations

from prefect import flow

from perennial.config.loader import load_problem
from perennial.settings import get_settings
from perennial.stores.measurements import record
from tasks.orchestration.connect import connect
from tasks.orchestration.flow_lock import turn
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.reporting.leftovers import report_leftovers
from tasks.retention.past_runs import remove_past_runs
from tasks.retention.tidy import Leftovers, find_leftovers, remove_leftovers


@flow(name="tidy", flow_run_name="tidy {problem}")
def tidy(problem: str = "sentiment", *, dry_run: bool = False) -> Leftovers:
    """Remove versions, models and runs that ``retention:`` of the problem's file does not keep.

    Kept in any case are versions that an alias names, that were Production, that wait for an
    answer, that were rolled back, or that have the tag ``perennial.keep``; and their runs. Runs of
    Prefect that ended more than a month ago go as well where no server removes them by itself.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    dry_run : bool
        Only say what would be removed.
    """
    quiet_prefect_logs()
    spec = load_problem(get_settings().problem_file(problem))
    registry = connect()
    with turn("retrain", spec.name):
        leftovers = find_leftovers(spec, registry)
        if not dry_run:
            remove_leftovers(spec.name, registry, leftovers)
    past = remove_past_runs(dry_run=dry_run)
    report_leftovers(spec, leftovers, past, is_dry_run=dry_run)
    record("tidy", spec)
    return leftovers


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(tidy)
