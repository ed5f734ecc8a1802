"""The report of `flows.tidy`: what was removed, or would be, and what stays and why."""

from __future__ import annotations

from collections import Counter

from prefect.artifacts import create_markdown_artifact
from rich.console import Console

from perennial.config.problem import Problem
from tasks.retention.tidy import Leftovers
from tasks.tables.base import TextTable

_SHOWN = 10


def report_leftovers(
    problem: Problem, leftovers: Leftovers, past_runs: int, *, is_dry_run: bool
) -> None:
    """Show what was removed in the terminal and as a Prefect artifact."""
    table = leftovers_table(problem, leftovers, past_runs, is_dry_run=is_dry_run)
    Console().print(table.rich())
    create_markdown_artifact(
        key=f"tidy-{problem.name}", markdown=table.markdown(), description=table.title
    )


def leftovers_table(
    problem: Problem, leftovers: Leftovers, past_runs: int, *, is_dry_run: bool
) -> TextTable:
    """Return a table of what goes and what stays.

    Parameters
    ----------
    problem : Problem
        The problem.
    leftovers : Leftovers
        What it has in MLflow that goes, and what stays.
    past_runs : int
        How many runs of Prefect go.
    is_dry_run : bool
        Whether they only would go.
    """
    verb = "would be removed" if is_dry_run else "removed"
    rows = [(f"versions {verb}", _named([each.version for each in leftovers.versions]))]
    rows += [
        (f"versions kept: {reason}", f"{count:,}")
        for reason, count in Counter(leftovers.kept.values()).most_common()
    ]
    if leftovers.models:
        rows.append((f"models without a version {verb}", f"{len(leftovers.models):,}"))
    rows += [
        (f"runs {verb}: {kind}", f"{count:,}")
        for kind, count in sorted(leftovers.run_kinds.items())
    ]
    if past_runs:
        rows.append((f"runs of Prefect {verb}", f"{past_runs:,}"))
    rows.append(("runs kept", f"{leftovers.runs_kept:,}"))
    if not leftovers.is_complete:
        rows.append(
            (
                "rows of MLflow's database",
                "only marked as deleted; MLFLOW_BACKEND_STORE_URI, or mlflow gc, removes them",
            )
        )
    title = f"What would be removed of {problem.name}" if is_dry_run else f"Tidied {problem.name}"
    return TextTable(title, ("what", "found"), rows)


def _named(numbers: list[int]) -> str:
    if not numbers:
        return "none"
    if len(numbers) <= _SHOWN:
        return ", ".join(map(str, numbers))
    return f"{len(numbers):,}, from {numbers[0]} to {numbers[-1]}"
