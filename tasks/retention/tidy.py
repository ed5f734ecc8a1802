"""Tidy: remove versions, models and runs of the past that nothing needs any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.config.problem import Problem
from perennial.registry.client import ModelVersion, Registry
from perennial.registry.leftovers import PastRun, expendable_runs, needed_versions
from tasks.orchestration.retries import NETWORK

# A retraining registers a model within seconds of storing it.
_UNREGISTERED = timedelta(days=1)


@dataclass(frozen=True, eq=False)
class Leftovers:
    """What a problem has in MLflow that can go, and what stays.

    Attributes
    ----------
    versions : tuple of ModelVersion
        Versions that can be removed, the oldest first.
    kept : mapping of int to str
        Versions that stay, each with the reason.
    models : tuple of str
        The ids of stored models that became no version.
    runs : tuple of PastRun
        Runs that can be removed, those below others first.
    runs_kept : int
        How many runs stay.
    is_complete : bool
        Whether rows of MLflow's database go, or are only marked as deleted.
    """

    versions: tuple[ModelVersion, ...]
    kept: Mapping[int, str]
    models: tuple[str, ...]
    runs: tuple[PastRun, ...]
    runs_kept: int
    is_complete: bool

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.versions or self.models or self.runs)

    @property
    def run_kinds(self) -> Mapping[str, int]:
        """How many runs of each kind can be removed."""
        return Counter(run.kind or "" for run in self.runs)


@task(name="find leftovers", cache_policy=NO_CACHE, **NETWORK)
def find_leftovers(problem: Problem, registry: Registry, now: datetime | None = None) -> Leftovers:
    """Return what can be removed of a problem's past.

    Parameters
    ----------
    problem : Problem
        The problem, whose ``retention`` says what is kept.
    registry : Registry
        Where versions and runs are.
    now : datetime, optional
        The time from which the age of runs counts.

    Raises
    ------
    OutsideError
        If MLflow fails.
    """
    now = now or datetime.now(UTC)
    versions = registry.versions(problem.name)
    line = {
        number
        for change in registry.history(problem.name)
        for number in (change.before, change.after)
        if number is not None
    }
    aliases = registry.aliases_of(problem.name)
    aliased = set(aliases.versions.values()) if aliases else set()
    kept = needed_versions(versions, aliased=aliased, line=line, newest=problem.retention.versions)
    removed = sorted(
        (each for each in versions if each.version not in kept), key=lambda each: each.version
    )
    needed = {each.run_id for each in versions if each.version in kept}
    runs = registry.past_runs(problem.name)
    found = expendable_runs(runs, needed=needed, since=now - problem.retention.runs)
    registered = {each.model_id for each in versions}
    stored = registry.models_stored_before(problem.name, now - _UNREGISTERED)
    return Leftovers(
        versions=tuple(removed),
        kept=kept,
        models=tuple(model for model in stored if model not in registered),
        runs=tuple(found),
        runs_kept=len(runs) - len(found),
        is_complete=registry.removes_rows,
    )


@task(name="remove leftovers", cache_policy=NO_CACHE, **NETWORK)
def remove_leftovers(problem: str, registry: Registry, leftovers: Leftovers) -> None:
    """Remove what was found; what is gone already is no trouble, so that it can be repeated.

    Raises
    ------
    OutsideError
        If MLflow fails.
    """
    for version in leftovers.versions:
        registry.remove_version(version)
    for model in leftovers.models:
        registry.remove_model(model)
    for run in leftovers.runs:
        registry.remove_run(run.run_id)
    registry.remove_remains(problem)
    registry.share_code()
