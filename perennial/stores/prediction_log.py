"""What the prediction log keeps: answers, requests that failed, and feedback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from perennial.stores.mongodb import Document


@dataclass(frozen=True)
class Logged:
    """The answers to one request: one entry per input."""

    at: float
    problem: str
    version: int
    ids: Sequence[str]
    labels: Sequence[str]
    probabilities: Sequence[float]
    inputs: Sequence[Any]
    seconds: float | None = None

    def documents(self, *, with_texts: bool) -> list[Document]:
        """Return one document per input, with or without what was sent."""
        at = datetime.fromtimestamp(self.at, UTC)
        documents = []
        for number, prediction_id in enumerate(self.ids):
            text: str | dict[str, Any] = self.inputs[number]
            document = {
                "_id": prediction_id,
                "problem": self.problem,
                "version": self.version,
                "label": self.labels[number],
                "probability": self.probabilities[number],
                "characters": len(text) if isinstance(text, str) else None,
                # The inputs of one request are alike and had one fate: who asks whether versions
                # differ counts the first of each request.
                "position": number,
                "seconds": self.seconds,
                "created_at": at,
            }
            if with_texts:
                document["text" if isinstance(text, str) else "inputs"] = text
            documents.append(document)
        return documents


@dataclass(frozen=True)
class Failure:
    """A request that a version could not answer."""

    at: float
    problem: str
    version: int

    def document(self) -> Document:
        """Return the document that is kept, under an id of its own."""
        return {
            "_id": uuid4().hex,
            "problem": self.problem,
            "version": self.version,
            "created_at": datetime.fromtimestamp(self.at, UTC),
        }


@dataclass(frozen=True)
class Feedback:
    """What somebody says about a prediction."""

    at: float
    prediction_id: str
    problem: str
    version: int
    label: str
