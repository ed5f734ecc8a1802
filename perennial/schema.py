"""What every part of a problem's file has in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]
Share = Annotated[float, Field(gt=0, lt=1)]
# MongoDB reads a dot as a path and a dollar sign as an operator.
FieldName = Annotated[str, Field(pattern=r"^[^.$\s][^.$]*(\.[^.$]+)*$", max_length=100)]
FieldPath = Annotated[
    str, Field(pattern=r"^[^.$\x00][^.\x00]*(\.[^.$\x00][^.\x00]*)*$", max_length=500)
]


class Schema(BaseModel):
    """A part of ``problems/NAME.yaml``: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
