"""Which training documents choose the challenger."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from perennial.schema import Schema


class Validation(Schema):
    """A share of the training documents, or folds of them when there are few.

    In a file a bare number is the share: ``validation: 0.1`` or ``validation: {folds: 5}``.
    """

    share: float | None = Field(default=None, gt=0, lt=1)
    folds: int | None = Field(
        default=None,
        ge=2,
        le=100,
        description="every document is predicted once, by cross-validation",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_number(cls, value: Any) -> Any:
        return value if isinstance(value, dict | Validation) else {"share": value}

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.share is None) == (self.folds is None):
            raise ValueError("give either a share or a number of folds")
        return self
