"""What every part of a problem's file has in common."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MetricName = Literal[
    "accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier", "cost"
]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Schema(BaseModel):
    """A part of ``problems/NAME.yaml``: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
