"""The fields of tabular documents, as a problem's file declares them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perennial.schema import Schema

# MongoDB reads a dot as a path and a dollar sign as an operator.
FieldName = Annotated[str, Field(pattern=r"^[^.$\s][^.$]*(\.[^.$]+)*$", max_length=100)]
FieldPath = Annotated[
    str, Field(pattern=r"^[^.$\x00][^.\x00]*(\.[^.$\x00][^.\x00]*)*$", max_length=500)
]


class TabularFeatures(Schema):
    """How fields become numbers: categories by one column each, booleans by 0 and 1."""

    scale: Literal["standard", "none"] = Field(
        default="none", description="standard: mean 0 and deviation 1 over the training documents"
    )
