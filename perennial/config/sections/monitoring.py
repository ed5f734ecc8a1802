"""The part ``monitoring:`` of a problem's file: when today counts as different from yesterday."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from perennial.schema import Schema


class DriftLimits(Schema):
    """How large a change must be before it matters; each is a size, whatever the sample's."""

    words: float = Field(
        default=0.6, ge=0.5, le=1, description="AUC of telling recent texts from the snapshot's"
    )
    distribution: float = Field(
        default=0.1, ge=0, le=1, description="largest difference of two distributions' shares"
    )
    unknown_words: float = Field(
        default=0.05, ge=0, le=1, description="rise of the share of words that Production ignores"
    )
    accuracy_drop: float = Field(
        default=0.05, ge=0, le=1, description="fall of the accuracy below that on the holdout"
    )


class Monitoring(Schema):
    """What `flows.monitor` compares, and when it raises the event ``problem.drifted``."""

    window: timedelta = Field(
        default=timedelta(days=30),
        gt=timedelta(0),
        description="how far back recent reaches; never behind Production's snapshot",
    )
    sample: int = Field(default=5000, ge=100, description="the newest of each kind, at most")
    min_documents: int = Field(default=200, ge=20, description="fewer than this tell nothing")
    significance: float = Field(
        default=0.001, gt=0, lt=1, description="chance of a false finding in one run, all tests"
    )
    accuracy_significance: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="the same of the accuracy alone, of which few labels say little",
    )
    limits: DriftLimits = DriftLimits()
    runs: int = Field(default=1, ge=1, description="so many runs in a row must find drift")
    cool_down: timedelta = Field(
        default=timedelta(hours=24), ge=timedelta(0), description="no second event within this time"
    )
