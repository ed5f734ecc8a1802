"""Quarantine: which documents cannot be used now, why, and what to do about it.

perennial quarantine sentiment
perennial quarantine sentiment --show "unknown_label label"
perennial quarantine sentiment --retry
"""

from __future__ import annotations

from prefect import flow

from perennial.config.loader import load_problem
from perennial.settings import get_settings
from tasks.data.ingest import ingest
from tasks.data.quarantine import Held, show_quarantine
from tasks.orchestration.retries import quiet_prefect_logs


@flow(name="quarantine", flow_run_name="quarantine {problem}")
def quarantine(
    problem: str = "sentiment",
    *,
    show: str | None = None,
    limit: int = 20,
    retry: bool = False,
) -> tuple[Held, ...]:
    """List the documents that cannot be used now: why, how many, examples, and what to do.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    show : str or None
        A reason as the list names it: its documents are shown.
    limit : int
        How many documents are shown at most.
    retry : bool
        Compare the whole collection with the last snapshot and judge every document again, before
        listing. A retraining does so by itself for what it finds changed.
    """
    quiet_prefect_logs()
    spec = load_problem(get_settings().problem_file(problem))
    if retry:
        ingest(spec, rescan=True)
    return show_quarantine(spec, show, limit)


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(quarantine)
