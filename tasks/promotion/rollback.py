"""Roll back: an earlier version answers again, because a person says so."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from rich.console import Console

from perennial.commands import command
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.gates.approval import Approval
from perennial.registry.client import PREVIOUS, Change, ModelVersion, Registry, StaleComparisonError
from tasks.orchestration.retries import NETWORK
from tasks.production.history import erasure_notes, history_table, note
from tasks.production.lock import production_lock
from tasks.promotion import questions
from tasks.promotion.verdicts import read_verdict


@dataclass(frozen=True)
class Move:
    """A move that a rollback is about to make.

    Attributes
    ----------
    before : ModelVersion or None
        The Production version, if there is one.
    after : ModelVersion
        The version that becomes Production.
    """

    before: ModelVersion | None
    after: ModelVersion


@task(name="choose version", cache_policy=NO_CACHE, **NETWORK)
def choose_version(problem: Problem, registry: Registry, number: int | None) -> Move:
    """Return the version to go to, after it has been loaded and tried on its golden examples.

    Parameters
    ----------
    problem : Problem
        The problem whose Production moves.
    registry : Registry
        The model registry.
    number : int or None
        Number of the version; None for the one that the alias ``previous`` names.

    Raises
    ------
    OutsideError
        If there is no such version, if it is Production already, or if it does not load as it was
        registered.
    """
    before = registry.production(problem.name)
    after = (
        registry.alias(problem.name, PREVIOUS)
        if number is None
        else registry.version(problem.name, number)
    )
    if after is None:
        raise OutsideError(
            f"{problem.name!r} has no previous version to go back to; name one with --version."
        )
    if before is not None and before.version == after.version:
        raise OutsideError(f"Version {after.version} of {problem.name!r} is Production already.")
    registry.load(after)
    return Move(before, after)


# Not tried again as a whole: a second try would find that Production has moved.
@task(name="roll back", cache_policy=NO_CACHE)
def roll_back(
    problem: Problem, registry: Registry, move: Move, *, why: str, by: str | None
) -> Change:
    """Move Production while nobody else does, and return what the history says about it.

    Raises
    ------
    OutsideError
        If Production has changed since the version was chosen, or if MLflow or MongoDB (which
        keeps the lock) cannot be used.
    """
    number, told = move.after.version, note(why, by)
    try:
        with production_lock(problem):
            registry.roll_back(move.after, expected=move.before, note=told)
            changes = registry.history(problem.name)
            after = registry.version(problem.name, number)
            if after.waits:
                yes = Approval(approved=True, by=told.by, why=why)
                questions.close(registry, after, read_verdict(after).answered(yes), yes)
    except StaleComparisonError:
        raise OutsideError(
            f"Production of {problem.name!r} has changed while version {number} was being tried; "
            f"look at `{command('history', problem.name)}`, and roll back again if that is still "
            "right."
        ) from None
    get_run_logger().info("Production of %s is version %s now.", problem.name, number)
    return changes[-1]


@task(name="show history", cache_policy=NO_CACHE)
def show_history(problem: Problem, registry: Registry) -> tuple[Change, ...]:
    """Show all changes of Production, in the terminal and as a Prefect artifact."""
    changes = registry.history(problem.name)
    if not changes:
        get_run_logger().info("No version of %s has been in Production yet.", problem.name)
        return changes
    table = history_table(problem.name, changes)
    notes = erasure_notes(registry.versions(problem.name))
    markdown = "\n\n".join([table.markdown(), *notes])
    create_markdown_artifact(
        key=f"history-{problem.name}", markdown=markdown, description=table.title
    )
    Console().print(table.rich())
    for sentence in notes:
        Console().print(sentence)
    return changes
