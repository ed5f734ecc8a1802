"""The part `abstain:` of a problem's file: when the service gives no label.

::

    abstain:
      known: 0.3          # of an input of which the model knows less than 30%
      confidence: 0.6     # of a label whose probability is below 60%
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from perennial.schema import Schema, Share

# Why no label is given.
Abstention = Literal["known", "confidence"]
ABSTENTIONS: tuple[Abstention, ...] = ("known", "confidence")


class Abstain(Schema):
    """When the service answers with null in place of a label.

    It shapes no model: a change counts at once, for the version that is in Production.
    """

    known: Share | None = Field(
        default=None, description="no label where the model knows a smaller share of an input"
    )
    confidence: Share | None = Field(
        default=None, description="no label whose probability is smaller"
    )

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.known is None and self.confidence is None:
            raise ValueError("needs known, confidence, or both")
        return self

    def judge(self, known: float, confidence: float) -> Abstention | None:
        """Return why a label is not given; None if it is.

        Parameters
        ----------
        known : float
            The share of the input that the model knows.
        confidence : float
            The probability of the label.
        """
        if self.known is not None and known < self.known:
            return "known"
        if self.confidence is not None and confidence < self.confidence:
            return "confidence"
        return None
