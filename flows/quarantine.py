"""Quarantine: which documents cannot be used now, why, and what to do about it.

perennial quarantine sentiment
perennial quarantine sentiment --show "unknown_label label"
perennial quarantine sentiment --retry
perennial quarantine sentiment --drop "too_short text" --why "greetings"
"""

from __future__ import annotations

from prefect import flow

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.settings import get_settings
from perennial.stores.measurements import amend
from tasks.data.drop import drop_held
from tasks.data.drop import take_back as take_dropped_back
from tasks.data.ingest import ingest
from tasks.data.quarantine import Held, show_quarantine
from tasks.orchestration.person import deciding_person
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.reporting.gauges import DOCUMENT_METRICS, state_of_documents


@flow(name="quarantine", flow_run_name="quarantine {problem}")
def quarantine(
    problem: str = "sentiment",
    *,
    show: str | None = None,
    limit: int = 20,
    retry: bool = False,
    drop: str | None = None,
    take_back: bool = False,
    why: str = "",
    by: str | None = None,
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
    drop : str or None
        A reason as the list names it: its documents are of no use, and are left out until they
        change. MongoDB keeps them.
    take_back : bool
        Judge everything again that was ever dropped.
    why : str
        What the next person should know about what is dropped.
    by : str or None
        Who drops it; None for the user of this process. A deployment's run needs a name.
    """
    quiet_prefect_logs()
    spec = load_problem(get_settings().problem_file(problem))
    if drop is not None and take_back:
        raise OutsideError("--drop and --take-back contradict each other; give one of them.")
    if drop is not None:
        if not why.strip():
            raise OutsideError("--why is missing; say in a sentence why they are of no use.")
        drop_held(spec, drop, by=deciding_person(by), why=why.strip())
    if take_back:
        take_dropped_back(spec)
    if retry or take_back or drop is not None:
        _look_again(spec)
    return show_quarantine(spec, show, limit)


def _look_again(spec: Problem) -> None:
    """Compare the whole collection with the last snapshot; alerts and console know it at once."""
    ingested = ingest(spec, rescan=True)
    amend("retrain", spec, state_of_documents(ingested), DOCUMENT_METRICS)


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(quarantine)
