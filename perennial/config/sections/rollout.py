"""The part `rollout:` of a problem's file: how a promoted version begins to answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from perennial.schema import Schema, Share

Excess = Annotated[float, Field(ge=0, le=1)]


def _grows(steps: tuple[float, ...]) -> tuple[float, ...]:
    if list(steps) != sorted(set(steps)):
        raise ValueError("each step must be larger than the one before")
    return steps


class CanaryLimits(Schema):
    """How much worse than Production a canary may be before it is taken back.

    A limit counts as crossed when the whole interval of the difference lies beyond it.
    """

    error_rate: Excess = Field(
        default=0.01, description="by how much more of the requests may fail than on Production"
    )
    latency_ratio: float = Field(
        default=2.0, ge=1, description="how many times as long the slowest requests may take"
    )
    accuracy_drop: Excess = Field(
        default=0.0, description="by how much less often feedback may agree with the prediction"
    )
    share_shift: Excess = Field(
        default=0.15,
        description="by how much a label's share may differ beyond what the holdout showed",
    )


class Rollout(Schema):
    """How a version takes over that has passed its gates; ``rollout: canary`` takes the defaults.

    With `immediate` it is Production at once. With `canary` it answers a share of the requests
    first, which grows step by step while nothing speaks against it.
    """

    mode: Literal["immediate", "canary"] = "immediate"
    steps: Annotated[tuple[Share, ...], AfterValidator(_grows)] = Field(
        default=(0.05, 0.25, 0.5), min_length=1, description="shares of the requests, growing"
    )
    requests: int = Field(
        default=500, ge=1, description="logged requests that a canary must answer in each step"
    )
    feedback: int = Field(
        default=0, ge=0, description="feedback on a canary's predictions needed in each step"
    )
    step_time: timedelta = Field(
        default=timedelta(minutes=15), ge=timedelta(0), description="the least time of each step"
    )
    max_time: timedelta = Field(
        default=timedelta(days=3),
        gt=timedelta(0),
        description="a canary whose step has not ended by then is taken back",
    )
    must_see: Share | None = Field(
        default=None,
        description="fall in accuracy that has to be excluded before a canary becomes Production, "
        "on inputs that both versions have scored",
    )
    at_most: timedelta = Field(
        default=timedelta(days=7),
        gt=timedelta(0),
        description="a rollout that could not exclude it within this time does not start",
    )
    limits: CanaryLimits = CanaryLimits()
    confidence: Share = Field(
        default=0.95, description="that a canary as good as Production is never taken back"
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_mode_alone(cls, value: Any) -> Any:
        return {"mode": value} if isinstance(value, str) else value
