"""Approve: a version that waits for a person, looked at again when its answer is a yes."""

from __future__ import annotations

import getpass
import sys
from dataclasses import dataclass

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from rich.console import Console, Group
from rich.prompt import Confirm, Prompt

from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.gates.approval import Approval
from perennial.libraries import uses_embedded_prefect
from perennial.metrics import intervals
from perennial.promotion.verdict import Verdict
from perennial.registry.client import ModelVersion, Registry
from perennial.settings import get_settings
from perennial.stores.snapshots.store import SnapshotStore
from perennial.thresholds.threshold import FloorFound
from tasks.data.prepare import Holdout, hold_out
from tasks.orchestration.retries import NETWORK
from tasks.tables.promotion import gates_table
from tasks.training.evaluate import Evaluation, measure_for_gates
from tasks.training.recipe import read_recipe
from tasks.training.train import predict


def ask_in_terminal(problem: Problem, verdict: Verdict) -> Approval | None:
    """Ask the person at the terminal, and return the answer; None leaves the question open.

    Only where no Prefect server is configured: where there is one, others decide, in their time.
    """
    if not (uses_embedded_prefect() and sys.stdin.isatty()):
        return None
    console = Console()
    console.print(gates_table(verdict).rich())
    try:
        approved = Confirm.ask(
            f"{problem.name} version {verdict.challenger} has passed every gate. "
            "Shall it become Production?",
            console=console,
            default=False,
        )
        why = Prompt.ask("Why?", console=console)
    except EOFError:
        get_run_logger().info("The terminal was closed without an answer.")
        return None
    return Approval(approved=approved, by=getpass.getuser(), why=why)


@dataclass(frozen=True, eq=False)
class ExamineResult:
    """A version that was made earlier, ready to be compared again.

    Attributes
    ----------
    problem : Problem
        The problem as it was when the version was made, with the gates and the rollout of today.
    holdout : Holdout
        Documents that the version has not learned from.
    evaluation : Evaluation
        The version's predictions for them, made now.
    """

    problem: Problem
    holdout: Holdout
    evaluation: Evaluation


@task(name="examine", cache_policy=NO_CACHE, **NETWORK)
def examine(problem: Problem, registry: Registry, version: ModelVersion) -> ExamineResult:
    """Load a version, and let it predict the holdout of the snapshot that it was made of.

    Parameters
    ----------
    problem : Problem
        The problem as its file is today, with the gates of today.
    registry : Registry
        The model registry.
    version : ModelVersion
        The registered version.

    Raises
    ------
    OutsideError
        If its model, its recorded problem or its snapshot cannot be used.
    """
    name = f"Version {version.version} of {version.problem!r}"
    then = _recorded(name, problem, registry, version)
    store = SnapshotStore(problem.name, get_settings())
    holdout = hold_out(then, store.recorded(*version.require_snapshot()))
    then = holdout.problem
    model = registry.load(version)
    predictions = predict(then, model, holdout.holdout_inputs, holdout.holdout_labels)
    metrics = intervals(predictions, confidence=then.gates.confidence, seed=then.seed)
    floor = version.decision_floor(FloorFound)
    measured = measure_for_gates(
        then, holdout, model, predictions=predictions, metrics=metrics, floor=floor
    )
    evaluation = Evaluation(predictions, metrics, floor=floor, measured=measured)
    get_run_logger().info(
        "%s predicts %s holdout documents of snapshot %s again.",
        name,
        f"{len(predictions):,}",
        holdout.snapshot.version,
    )
    return ExamineResult(then, holdout, evaluation)


def _recorded(name: str, today: Problem, registry: Registry, version: ModelVersion) -> Problem:
    """Return the problem that a version was made for, with the gates of today."""
    try:
        then = read_recipe(registry, version).read_problem()
    except OutsideError as error:
        raise OutsideError(f"{name} cannot be compared again: {error}") from error
    if then.classes != today.classes:
        raise OutsideError(
            f"{name} cannot be compared again: the labels in problems/{today.name}.yaml have "
            "changed since it was made; retrain."
        )
    now = {"gates": today.gates, "rollout": today.rollout, "source": today.source}
    return then.model_copy(update=now)


@task(name="report answer", cache_policy=NO_CACHE)
def report_answer(problem: Problem, verdict: Verdict, heading: str) -> None:
    """Show what became of a version, as a Prefect artifact and in the terminal."""
    table = gates_table(verdict)
    create_markdown_artifact(
        key=f"approve-{problem.name}",
        markdown=f"# {heading}\n\n{table.markdown()}",
        description=heading,
    )
    Console().print(Group(table.rich(), f"[bold]{heading}[/bold]"))
