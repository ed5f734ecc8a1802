"""What every part of a problem's file has in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Schema(BaseModel):
    """A part of ``problems/NAME.yaml``: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
