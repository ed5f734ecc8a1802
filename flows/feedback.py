"""Feedback: who sends it, what waits for a person, and what is taken out again.

perennial feedback sentiment
perennial feedback sentiment --withdraw 3f9ac1d20b7e4a55 --why "it confirms everything"
"""

from __future__ import annotations

from typing import Literal

from prefect import flow

from perennial.config.loader import load_problem
from perennial.errors import OutsideError
from perennial.settings import get_settings
from perennial.stores.feedback_review import Sender
from tasks.data.feedback import Order, decide_on_feedback, show_feedback
from tasks.orchestration.retries import quiet_prefect_logs


@flow(name="feedback", flow_run_name="feedback {problem}")
def feedback(
    problem: str = "sentiment",
    *,
    withdraw: str | None = None,
    accept: str | None = None,
    reject: str | None = None,
    label: str | None = None,
    why: str = "",
    by: str | None = None,
) -> tuple[Sender, ...]:
    """List feedback by sender; withdraw a sender's, or decide about what waits.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    withdraw : str or None
        A sender whose documents leave the collection, so that the next snapshot is without them.
    accept : str or None
        A sender, or the id of a prediction, whose waiting feedback is let in.
    reject : str or None
        A sender, or the id of a prediction, whose waiting feedback stays out.
    label : str or None
        With accept or reject: only feedback that says this label.
    why : str
        The reason, for the notes about decisions; needed to withdraw.
    by : str or None
        Who decides it; None for the user of this process.
    """
    quiet_prefect_logs()
    spec = load_problem(get_settings().problem_file(problem))
    asked: dict[Literal["withdraw", "accept", "reject"], str | None] = {
        "withdraw": withdraw,
        "accept": accept,
        "reject": reject,
    }
    orders = [
        Order(action, about, label, why.strip(), by)
        for action, about in asked.items()
        if about is not None
    ]
    if len(orders) > 1:
        raise OutsideError("Give one of --withdraw, --accept and --reject at a time.")
    if label is not None and (not orders or withdraw is not None):
        raise OutsideError("--label goes with --accept or --reject.")
    if withdraw is not None and not why.strip():
        raise OutsideError("--why is empty; say in a sentence why this feedback has to go.")
    for order in orders:
        decide_on_feedback(spec, order)
    return show_feedback(spec)


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(feedback)
