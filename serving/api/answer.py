"""The predictions for one request, and how they are sent and logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import time
from typing import TYPE_CHECKING

import orjson

from perennial.registry.model_version import ModelVersion
from perennial.stores.prediction_log import Logged
from serving.api.schemas import ClassifyAnswer, Input
from serving.api.templates import AnswerSchema, Templates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from perennial.inference.contribution import Contribution

_MOST_TEMPLATES = 256
_SCHEMA = AnswerSchema(ClassifyAnswer)
_ID_FIRST = _SCHEMA.order.index("prediction_id") < _SCHEMA.order.index("probabilities")
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True, eq=False)
class Answer:
    """The predictions for the inputs of a request, in their order.

    Attributes
    ----------
    version : ModelVersion
        What answers.
    classes : tuple of str
        The columns of `probabilities`.
    decided : list of int
        The position in `classes` of each input's label.
    probabilities : ndarray of float64, shape (n_inputs, n_classes)
        Of each class.
    explanations : sequence or None
        What moved each decision, if that was asked for.
    """

    version: ModelVersion
    classes: tuple[str, ...]
    decided: list[int]
    probabilities: NDArray[np.float64]
    explanations: Sequence[Sequence[Contribution]] | None

    @property
    def labels(self) -> list[str]:
        """The label of each input."""
        classes = self.classes
        return [classes[position] for position in self.decided]

    def body(self, ids: Sequence[str]) -> bytes:
        """Return the answer as JSON, the size of which is mostly the same each time."""
        version, classes = self.version, self.classes
        head, tail, parts, explained = _templates(version.problem, version.version, classes)
        # orjson writes the numbers at once; to make objects of them for it takes three times as
        # long as all the rest.
        numbers = orjson.dumps(self.probabilities.ravel(), option=_NUMPY)[1:-1].decode().split(",")
        if len(ids) == 1 and self.explanations is None:
            # Most requests are so: one prediction needs no columns.
            first, second = (ids, numbers) if _ID_FIRST else (numbers, ids)
            return f"{head}{parts[self.decided[0]] % (*first, *second)}{tail}".encode()
        width = len(classes)
        columns: dict[str, list[Sequence[str]]] = {
            "prediction_id": [ids],
            "probabilities": [numbers[column::width] for column in range(width)],
            "explanation": [],
        }
        if self.explanations is not None:
            parts = explained
            columns["explanation"] = [[orjson.dumps(each).decode() for each in self.explanations]]
        ordered = [column for name in _SCHEMA.order for column in columns[name]]
        values = [""] * (len(ids) * len(ordered))
        for place, column in enumerate(ordered):
            values[place :: len(ordered)] = column
        predictions = ",".join([parts[position] for position in self.decided]) % tuple(values)
        return f"{head}{predictions}{tail}".encode()

    def logged(self, ids: Sequence[str], inputs: Sequence[Input], seconds: float) -> Logged:
        """Return the answer as it is kept in the log."""
        return Logged(
            at=time(),
            problem=self.version.problem,
            version=self.version.version,
            ids=ids,
            labels=self.labels,
            probabilities=self.probabilities[range(len(ids)), self.decided].tolist(),
            inputs=inputs,
            seconds=seconds,
        )


def join(portions: Sequence[Answer]) -> Answer:
    """Return the answers to the portions of one request as one."""
    # The worker answers its probes while NumPy is imported; it is by now.
    import numpy as np

    first = portions[0]
    return Answer(
        first.version,
        first.classes,
        [position for part in portions for position in part.decided],
        np.concatenate([part.probabilities for part in portions]),
        None
        if first.explanations is None
        else [found for part in portions for found in part.explanations or ()],
    )


@lru_cache(_MOST_TEMPLATES)
def _templates(problem: str, version: int, classes: tuple[str, ...]) -> Templates:
    return _SCHEMA.templates(problem, version, classes)
