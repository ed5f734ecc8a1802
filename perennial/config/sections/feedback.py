"""Feedback: which documents it makes, and what a retraining may use them for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from perennial.schema import Schema

FeedbackUse = Literal["training", "review", "holdout"]

# What the service writes into the source of a document that it makes of feedback.
FEEDBACK: Final = "feedback"
# How the id of such a document begins.
ID_PREFIX: Final = f"{FEEDBACK}:"
# The part of such a document that says who gave the feedback on what, and the path of the sender.
SENDER: Final = "sender"
SENDER_PATH: Final = f"{FEEDBACK}.{SENDER}"

_MEANINGS: dict[FeedbackUse, str] = {
    "training": "learned from and not judged on",
    "review": "kept out until a person lets it in, then learned from and not judged on",
    "holdout": "judged on, too",
}


class FeedbackRules(Schema):
    """The part ``feedback:`` of a problem's file.

    Whoever may call the service can label documents by feedback. A model learns from them, but
    they do not say which model is better, unless the problem trusts whoever sends them.
    """

    use: FeedbackUse = Field(
        default="training",
        description="training: learned from, never judged on; review: that as soon as a person "
        "lets it in; holdout: trusted like the collection",
    )
    max_share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="of the training documents at most; the rest of the feedback is left out, "
        "unless it is trusted",
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
        return _MEANINGS[self.use]

    def allowed(self, others: int) -> int | None:
        """Return how many documents from feedback may be learned from; None if all may.

        Parameters
        ----------
        others : int
            Number of the other training documents.
        """
        if self.is_judged_on or self.max_share == 1:
            return None
        # What is a whole number must not become less by rounding.
        return int(others * self.max_share / (1 - self.max_share) + 1e-9)


def document_id(prediction_id: str) -> str:
    """Return the id of the document that feedback on a prediction makes."""
    return ID_PREFIX + prediction_id


def provenance_field(names: Collection[str]) -> str:
    """Return the field of a document that says who gave its feedback.

    Parameters
    ----------
    names : collection of str
        The fields that the problem reads; one of them may have the usual name already.
    """
    taken = {name.partition(".")[0] for name in names}
    return FEEDBACK if FEEDBACK not in taken else f"perennial_{FEEDBACK}"
