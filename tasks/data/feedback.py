"""Feedback: who sends how much, what waits for a person, and what a person decides about it."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from rich.console import Console

from perennial.commands import counted
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.settings import get_serving_settings, get_settings
from perennial.stores import mongodb
from perennial.stores.feedback_review import InReview, Ledger, Sender
from tasks.orchestration.retries import NETWORK
from tasks.tables.base import TextTable

_SHOWN = 20
_CHARACTERS = 80


@dataclass(frozen=True)
class Order:
    """What a person decides about feedback.

    Attributes
    ----------
    action : {"withdraw", "accept", "reject"}
        What happens to it.
    about : str
        A sender, or the id of a prediction.
    label : str or None
        Only what says this label.
    why : str
        The reason.
    by : str or None
        Who decides it; None for the user of this process.
    """

    action: Literal["withdraw", "accept", "reject"]
    about: str
    label: str | None
    why: str
    by: str | None


@task(name="decide on feedback", cache_policy=NO_CACHE)
def decide_on_feedback(problem: Problem, order: Order) -> int:
    """Carry out what a person decides; return how many documents or statements it concerns.

    Raises
    ------
    OutsideError
        If there is nothing to decide about, if the labels to accept contradict each other, or if
        MongoDB cannot be used.
    """
    by = order.by or getpass.getuser()
    with _ledger(problem) as ledger:
        if order.action == "withdraw":
            if order.about not in {sender.name for sender in ledger.senders()}:
                raise OutsideError(_no_sender(problem, order.about))
            count = ledger.withdraw(order.about, by=by, why=order.why)
            get_run_logger().info(
                "Withdrew what %s has said: %s out of the collection, and of the next snapshot.",
                order.about,
                counted(count, "document is", "documents are"),
            )
            return count
        _require_decidable(problem, ledger, order)
        decision: Literal["accepted", "rejected"] = (
            "accepted" if order.action == "accept" else "rejected"
        )
        count = ledger.decide(decision, order.about, order.label, by=by, why=order.why)
    get_run_logger().info("Feedback of %s or on it, %s: %s.", order.about, decision, f"{count:,}")
    return count


@task(name="show feedback", cache_policy=NO_CACHE, **NETWORK)
def show_feedback(problem: Problem) -> tuple[Sender, ...]:
    """Show every sender, in the terminal and as a Prefect artifact, and there what waits.

    What was classified is shown in the terminal alone, to whoever has to decide about it.

    Raises
    ------
    OutsideError
        If MongoDB cannot be used.
    """
    with _ledger(problem) as ledger:
        senders, waiting = ledger.senders(), ledger.in_review(_SHOWN)
    table = senders_table(problem, senders)
    create_markdown_artifact(
        key=f"feedback-{problem.name}", markdown=table.markdown(), description=table.title
    )
    console = Console()
    console.print(table.rich())
    if waiting:
        console.print(review_table(waiting).rich())
    return tuple(senders)


def senders_table(problem: Problem, senders: Sequence[Sender]) -> TextTable:
    """Return a table: what each sender has said, and how much of it agrees with others."""
    everything = sum(sender.documents for sender in senders)
    documents = counted(everything, "document")
    return TextTable(
        f"Feedback on {problem.name}: {documents}, {problem.feedback.meaning}",
        ("sender", "documents", "share", "as predicted", "disputed", "in review", "first", "last"),
        [
            (
                sender.name,
                f"{sender.documents:,}",
                _share(sender.documents, everything),
                _share(sender.agreeing, sender.documents),
                f"{sender.disputed:,}",
                f"{sender.in_review:,}",
                _day(sender.first),
                _day(sender.last),
            )
            for sender in senders
        ],
    )


def review_table(waiting: Sequence[InReview]) -> TextTable:
    """Return a table: statements that wait for a person, with the beginning of what they are on."""
    return TextTable(
        "Waiting for a person: perennial feedback NAME --accept or --reject, a sender or an id",
        ("prediction", "sender", "label", "input"),
        [
            (each.prediction_id, each.sender, each.label, _beginning(each.document))
            for each in waiting
        ],
    )


@contextmanager
def _ledger(problem: Problem) -> Iterator[Ledger]:
    serving = get_serving_settings()
    with (
        mongodb.connect(get_settings(), problem.name) as client,
        mongodb.connect(get_settings()) as logged,
    ):
        kept = timedelta(days=serving.log_days)
        yield Ledger(client, logged[serving.log_database], problem, kept)


def _require_decidable(problem: Problem, ledger: Ledger, order: Order) -> None:
    """Raise unless something waits, and what is accepted has one label for each prediction."""
    if order.label is not None and order.label not in problem.labels:
        known = ", ".join(problem.classes)
        raise OutsideError(f"--label {order.label!r} is no label of {problem.name!r}: {known}.")
    found = ledger.labels(order.about)
    if order.label is not None:
        found = {key: labels & {order.label} for key, labels in found.items()}
    if not any(found.values()):
        raise OutsideError(
            f"Nothing of {order.about!r} or on it waits for a person; perennial feedback "
            f"{problem.name} lists what does."
        )
    several = sorted(next((labels for labels in found.values() if len(labels) > 1), ()))
    if order.action == "accept" and several:
        raise OutsideError(
            f"On {order.about!r} senders say {' and '.join(several)}: accept one of them with "
            "--label, or accept a sender."
        )


def _no_sender(problem: Problem, name: str) -> str:
    return (
        f"Nobody called {name!r} has sent feedback on {problem.name!r}; perennial feedback "
        f"{problem.name} lists who has."
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def _day(time: datetime | None) -> str:
    return "-" if time is None else time.strftime("%Y-%m-%d")


def _beginning(document: object) -> str:
    values = document.values() if isinstance(document, dict) else ()
    shown = ", ".join(map(str, values))
    return shown if len(shown) <= _CHARACTERS else shown[:_CHARACTERS] + "..."
