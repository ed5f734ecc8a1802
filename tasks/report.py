"""Report: what a retraining did, for the person at the terminal and the one at the Prefect UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from rich.console import Console, Group

from modeling.decision import Verdict
from modeling.problem import Problem
from tasks import canary
from tasks.evaluate import Evaluation
from tasks.ingest import Ingested
from tasks.tables import (
    Grid,
    candidates_table,
    documents_table,
    durations_table,
    gates_table,
    holdout_table,
)
from tasks.train import CandidateResult


@dataclass(frozen=True, eq=False)
class Retraining:
    """Everything that one retraining did.

    Attributes
    ----------
    ingested : Ingested
        What came in.
    candidates : sequence of CandidateResult
        What was tried; empty when there was nothing to do.
    evaluation : Evaluation or None
        The challenger on the holdout.
    verdict : Verdict or None
        The outcome; None when there was nothing to do.
    seconds : mapping of str to float
        Duration of each step.
    """

    ingested: Ingested
    seconds: Mapping[str, float]
    candidates: Sequence[CandidateResult] = ()
    evaluation: Evaluation | None = None
    verdict: Verdict | None = None


@task(name="report", cache_policy=NO_CACHE)
def report(problem: Problem, retraining: Retraining) -> None:
    """Show a retraining as a Prefect artifact and as tables in the terminal."""
    tables = _tables(problem, retraining)
    heading = headline(problem, retraining)
    create_markdown_artifact(
        key=f"retrain-{problem.name}",
        markdown=f"# {heading}\n\n" + "\n".join(table.markdown() for table in tables),
        description=heading,
    )
    Console().print(Group(*(table.rich() for table in tables)), f"[bold]{heading}[/bold]")


def headline(problem: Problem, retraining: Retraining) -> str:
    """Return the outcome of a retraining in one line."""
    verdict = retraining.verdict
    if verdict is None:
        return f"{problem.name}: nothing new, nothing to do; Production stays as it is"
    if verdict.outcome == "promoted" and canary.is_wanted(problem, verdict.production):
        share = f"{problem.rollout.steps[0]:.0%}"
        return (
            f"{problem.name}: passed, version {verdict.challenger} answers {share} of the requests "
            f"as the canary; Production stays version {verdict.production} until it is judged"
        )
    if verdict.outcome == "promoted":
        return f"{problem.name}: promoted, Production is now version {verdict.challenger}"
    return (
        f"{problem.name}: kept, Production stays version {verdict.production}"
        if verdict.production is not None
        else f"{problem.name}: kept out, there is no Production version yet"
    ) + f" ({verdict.reason})"


def _tables(problem: Problem, retraining: Retraining) -> list[Grid]:
    tables = [documents_table(retraining.ingested)]
    if retraining.candidates:
        tables.append(candidates_table(problem, retraining.candidates))
    if retraining.evaluation is not None:
        tables.append(holdout_table(retraining.evaluation))
    if retraining.verdict is not None:
        tables.append(gates_table(retraining.verdict))
    return [*tables, durations_table(retraining.seconds)]
