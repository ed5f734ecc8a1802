"""Approve: a person's yes or no to a version that has passed every gate.

perennial approve sentiment --version 7 --why "I read fifty of its answers"
perennial approve sentiment --version 7 --refuse --why "it is rude to short texts"
"""

from __future__ import annotations

from typing import Annotated

import typer
from prefect import flow

from perennial.config.loader import load_problem
from perennial.errors import OutsideError
from perennial.gates.approval import Approval
from perennial.promotion.verdict import Verdict
from perennial.settings import get_settings
from perennial.stores.measurements import record
from tasks.orchestration.connect import connect
from tasks.orchestration.person import deciding_person
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.promotion.approve import examine, report_answer
from tasks.promotion.promote import announce, promote
from tasks.promotion.questions import find_question, refuse
from tasks.reporting.retraining import outcome


@flow(name="approve", flow_run_name="approve {problem} {version}")
def approve(
    problem: str = "sentiment",
    *,
    version: int,
    why: str,
    approve: Annotated[bool, typer.Option("--approve/--refuse")] = True,
    by: str | None = None,
) -> Verdict:
    """Answer whether a version that waits becomes Production.

    A yes compares it once more with what is Production by now, and promotes it if it still passes.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    version : int
        The version that waits.
    why : str
        What the next person should know about it.
    approve : bool
        Whether it becomes Production; otherwise it is kept.
    by : str or None
        Who says so; None for the user of this process. A deployment's run needs a name.
    """
    quiet_prefect_logs()
    spec = load_problem(get_settings().problem_file(problem))
    approval = Approval(approved=approve, by=deciding_person(by), why=_reason(why))
    registry = connect()
    waiting = find_question(spec, registry, version)
    if approve:
        found = examine(spec, registry, waiting)
        verdict = promote(found.problem, found.holdout, waiting, found.evaluation, approval)
    else:
        verdict = refuse(spec, registry, waiting, approval)
    announce(spec, verdict)
    report_answer(spec, verdict, outcome(spec, verdict))
    record("approve", spec, [])
    return verdict


def _reason(why: str) -> str:
    if not why.strip():
        raise OutsideError("--why is empty; say in a sentence what the next person should know.")
    return why.strip()


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(approve)
