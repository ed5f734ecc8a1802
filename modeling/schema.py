"""What every part of a problem's file has in common."""

from pydantic import BaseModel, ConfigDict


class Schema(BaseModel):
    """A part of ``problems/NAME.yaml``: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
