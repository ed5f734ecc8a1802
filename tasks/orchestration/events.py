"""Events: what happened to a problem, for Prefect's automations and its event feed."""

from __future__ import annotations

from typing import Literal

from prefect.events import emit_event

Kind = Literal[
    "problem.drifted",
    "version.waiting",
    "version.promoted",
    "version.kept",
    "version.rolled-back",
    "canary.started",
    "canary.taken-back",
]


def event_name(kind: Kind) -> str:
    """Return how Prefect names what happened."""
    return f"perennial.{kind}"


def resource_id(problem: str) -> str:
    """Return how Prefect names the problem that it happened to."""
    return f"perennial.problem.{problem}"


def emit(kind: Kind, problem: str, *, version: int | None = None, reason: str = "") -> None:
    """Tell Prefect what happened to a problem.

    Parameters
    ----------
    kind : Kind
        What happened; the event is named ``perennial.`` and this.
    problem : str
        The event's resource is ``perennial.problem.`` and this.
    version : int, optional
        The model version it happened to: a related resource, and part of the payload.
    reason : str
        One sentence for people.
    """
    related = []
    if version is not None:
        related.append(
            {
                "prefect.resource.id": f"perennial.version.{problem}.{version}",
                "prefect.resource.name": f"{problem} version {version}",
                "prefect.resource.role": "model-version",
            }
        )
    emit_event(
        event_name(kind),
        resource={
            "prefect.resource.id": resource_id(problem),
            "prefect.resource.name": problem,
        },
        related=related,
        payload={"problem": problem, "version": version, "reason": reason},
    )
