"""The canary: a version on its way to Production, and the notes about it in the registry.

The notes are tags of the version. They are written before the alias moves, so that whoever reads
after a crash finds what was intended, and completes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from perennial.config.problem import Problem
from perennial.config.sections.rollout import Rollout
from perennial.errors import OutsideError
from perennial.registry.client import CANARY, ModelVersion, Registry, StaleComparisonError
from perennial.registry.model_version import TAKEN_BACK
from perennial.registry.tags import CanaryTags
from tasks.orchestration.events import emit
from tasks.production.history import note

_PROMOTED = "promoted"


@dataclass(frozen=True)
class Canary:
    """The version that answers a share of the requests by a rollout.

    Attributes
    ----------
    version : ModelVersion
        The registered version that is the canary.
    step : int
        Position of the current step, from 0.
    since : datetime
        Time at which the step began.
    against : int
        Version that was Production when the rollout began, with which the canary is compared.
    """

    version: ModelVersion
    step: int
    since: datetime
    against: int

    @property
    def taken_back(self) -> str | None:
        """Reason for which the canary was taken back already, when only its alias is left."""
        if self.version.canary_outcome != TAKEN_BACK:
            return None
        return self.version.canary_reason or ""


def is_wanted(problem: Problem, production: ModelVersion | int | None) -> bool:
    """Return whether a promoted version of a problem begins as a canary.

    Without a Production version there is nothing to compare it with, and nobody else to answer.
    """
    return problem.rollout.mode == "canary" and production is not None


def current(registry: Registry, problem: Problem) -> Canary | None:
    """Return the canary of a problem, if a rollout has started one that answers."""
    version = registry.alias(problem.name, CANARY)
    if version is None or version.is_shadow:
        return None
    begun = version.canary_step
    if begun is None:
        # A person has started it by hand, and will end it.
        return None
    return Canary(version, begun.step, begun.since, begun.against)


def start(
    problem: Problem, registry: Registry, version: ModelVersion, production: ModelVersion | None
) -> None:
    """Let a version answer the first share of the requests; the caller holds the problem's lease.

    A canary that answers meanwhile gives way to it, as it would in Argo Rollouts: the newer version
    has learned from more documents, and was compared with the same Production.

    Raises
    ------
    StaleComparisonError
        If Production is not the version any more with which the new one was compared.
    OutsideError
        If the version was a canary before, or MLflow cannot be used.
    """
    now = registry.production(problem.name)
    if production is None or now is None or now.version != production.version:
        raise StaleComparisonError(f"Production is {now}, not {production}")
    before = registry.alias(problem.name, CANARY)
    if before is not None and before.version == version.version:
        return
    outcome = registry.version(problem.name, version.version).canary_outcome
    if outcome is not None:
        raise OutsideError(
            f"Version {version.version} of {problem.name!r} was a canary before and was {outcome}; "
            "a version gets one chance, retrain for a new one."
        )
    if before is not None:
        _end(registry, before, TAKEN_BACK, f"version {version.version} took its place")
    registry.tag(version, CanaryTags(against=production.version).as_tags())
    _set_step(problem.rollout, registry, version, 0)
    share = problem.rollout.steps[0]
    emit(
        "canary.started",
        problem.name,
        version=version.version,
        reason=f"it passed every gate and answers {share:.0%} of the requests",
    )


def go_on(problem: Problem, registry: Registry, canary: Canary) -> None:
    """Let the canary answer the next share of the requests."""
    _set_step(problem.rollout, registry, canary.version, canary.step + 1)


def keep_share(problem: Problem, registry: Registry, canary: Canary) -> None:
    """See to it that the canary has the share of its step, which a crash may have prevented."""
    share = share_of(problem.rollout, canary)
    if canary.version.share != share:
        registry.start_canary(canary.version, share=share)


def make_production(
    problem: Problem,
    registry: Registry,
    canary: Canary,
    production: ModelVersion | None,
    reason: str,
) -> None:
    """Make the canary Production; the caller holds the problem's lease.

    Raises
    ------
    StaleComparisonError
        If Production has changed.
    """
    registry.promote(canary.version, expected=production, note=note(reason))
    registry.stop_canary(problem.name)
    _end(registry, canary.version, _PROMOTED, reason)
    emit("version.promoted", problem.name, version=canary.version.version, reason=reason)


def take_back(problem: Problem, registry: Registry, canary: Canary, reason: str) -> None:
    """Let the canary answer no more, for good, and write the reason onto the version."""
    _end(registry, canary.version, TAKEN_BACK, reason)
    registry.stop_canary(problem.name)
    emit("canary.taken-back", problem.name, version=canary.version.version, reason=reason)


def share_of(rollout: Rollout, canary: Canary) -> float:
    """Return the share of the requests that a canary's step gives it."""
    return rollout.steps[min(canary.step, len(rollout.steps) - 1)]


def _set_step(rollout: Rollout, registry: Registry, version: ModelVersion, step: int) -> None:
    registry.tag(version, CanaryTags(step=step, step_since=datetime.now(UTC)).as_tags())
    registry.start_canary(version, share=rollout.steps[step])


def _end(registry: Registry, version: ModelVersion, outcome: str, reason: str) -> None:
    registry.tag(version, CanaryTags(outcome=outcome, reason=reason).as_tags())
