"""Feedback: which documents it makes, and what a retraining may use them for."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from perennial.schema import Schema

FeedbackUse = Literal["training", "holdout"]

# What the service writes into the source of a document that it makes of feedback.
FEEDBACK: Final = "feedback"
# How the id of such a document begins.
ID_PREFIX: Final = f"{FEEDBACK}:"
# Where such a document says who gave the feedback.
SENDER: Final = "feedback.sender"


class FeedbackRules(Schema):
    """The part ``feedback:`` of a problem's file.

    Whoever may call the service can label documents by feedback. A model learns from them, but
    they do not say which model is better, unless the problem trusts whoever sends them.
    """

    use: FeedbackUse = Field(
        default="training",
        description="training: learned from, never judged on; holdout: trusted like the collection",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_key(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise PydanticCustomError("short", f"write feedback: {{use: {value}}}")
        return value

    @property
    def is_judged_on(self) -> bool:
        """Whether documents from feedback may be in the holdout, and choose and tune models."""
        return self.use == "holdout"

    @property
    def meaning(self) -> str:
        """What becomes of documents from feedback, in a few words."""
        return "judged on, too" if self.is_judged_on else "learned from and not judged on"


def document_id(prediction_id: str) -> str:
    """Return the id of the document that feedback on a prediction makes."""
    return ID_PREFIX + prediction_id
