"""The part ``retention:`` of a problem's file: how long what retrainings leave is kept."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from perennial.schema import Schema


class Retention(Schema):
    """What `flows.tidy` keeps of the past in MLflow, beside what is still needed."""

    versions: int = Field(
        default=20, ge=2, description="newest versions that are kept, whatever became of them"
    )
    runs: timedelta = Field(
        default=timedelta(days=30),
        ge=timedelta(days=1),
        description="how long runs are kept that made none of the kept versions",
    )
