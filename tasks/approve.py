"""Approve: a person says yes or no to a challenger that has passed every gate."""

from __future__ import annotations

import getpass
import sys
from contextlib import suppress
from contextvars import copy_context
from datetime import timedelta
from threading import Timer
from uuid import UUID

from prefect.exceptions import NotPausedError
from prefect.flow_runs import pause_flow_run, resume_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import Field
from rich.console import Console
from rich.prompt import Confirm, Prompt

from modeling.decision import Approval, Verdict
from modeling.problem import Problem
from settings import uses_embedded_prefect
from tasks.tables import gates_table

NOBODY = "nobody"
_POLL_SECONDS = 5
# The flow answers for itself when the time is over; Prefect, which would fail the run, comes later.
_GRACE_SECONDS = 3600


class ApprovalForm(RunInput):
    """What the page of the paused run asks for in the Prefect UI."""

    approve: bool = Field(description="whether the challenger becomes Production")
    by: str = Field(min_length=1, description="who says so")
    why: str = Field(min_length=1, description="what the next person should know about it")


def ask(problem: Problem, verdict: Verdict) -> Approval:
    """Wait for a person's answer, and return it; to be called by a flow.

    With a Prefect server the flow run pauses, and goes on when somebody resumes it in the UI,
    where the form stands beside the gates. Without one the question comes to the terminal.
    Silence is a no: after the problem's ``answer_within``, or at once where nobody can be asked.
    """
    if not uses_embedded_prefect():
        return _ask_in_prefect(problem, verdict)
    if sys.stdin.isatty():
        return _ask_in_terminal(problem, verdict)
    return Approval(
        approved=False,
        by=NOBODY,
        why="there is neither a Prefect server (PREFECT_API_URL) nor a terminal to ask at",
    )


def _ask_in_prefect(problem: Problem, verdict: Verdict) -> Approval:
    within = problem.gates.answer_within
    get_run_logger().info(
        "%s version %s has passed every gate and waits up to %s for a person: resume this run at "
        "%s and say yes or no there.",
        problem.name,
        verdict.challenger,
        _duration(within),
        flow_run.ui_url or "the Prefect UI",
    )
    form = ApprovalForm.with_initial_data(description=_question(problem, verdict))
    seconds = int(within.total_seconds())
    silence = Timer(seconds, copy_context().run, (_answer_no, UUID(str(flow_run.id)), within))
    silence.daemon = True
    silence.start()
    try:
        answer = pause_flow_run(
            wait_for_input=form, timeout=seconds + _GRACE_SECONDS, poll_interval=_POLL_SECONDS
        )
    finally:
        silence.cancel()
    return Approval(approved=answer.approve, by=answer.by, why=answer.why)


def _answer_no(run: UUID, within: timedelta) -> None:
    """Resume a paused run in place of the person who did not."""
    silence = {"approve": False, "by": NOBODY, "why": f"no answer within {_duration(within)}"}
    # Whoever was a moment quicker has answered.
    with suppress(NotPausedError):
        resume_flow_run(run, run_input=silence)


def _ask_in_terminal(problem: Problem, verdict: Verdict) -> Approval:
    console = Console()
    console.print(gates_table(verdict).rich())
    approved = Confirm.ask(
        f"{problem.name} version {verdict.challenger} has passed every gate. "
        "Shall it become Production?",
        console=console,
        default=False,
    )
    why = Prompt.ask("Why?", console=console)
    return Approval(approved=approved, by=getpass.getuser(), why=why)


def _question(problem: Problem, verdict: Verdict) -> str:
    return (
        f"# Shall {problem.name} version {verdict.challenger} become Production?\n\n"
        f"{gates_table(verdict).markdown()}"
    )


def _duration(time: timedelta) -> str:
    hours = time.total_seconds() / 3600
    return f"{hours:g} h" if hours >= 1 else f"{time.total_seconds():g} s"
