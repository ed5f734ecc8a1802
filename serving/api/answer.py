"""The predictions for one request, and how they are sent and logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import time
from typing import TYPE_CHECKING

import numpy as np
import orjson
from numpy.typing import NDArray

from perennial.registry.model_version import ModelVersion
from perennial.stores.prediction_log import Logged
from serving.api.schemas import Input

if TYPE_CHECKING:
    from perennial.inference.base import Contribution

_TEMPLATES = 256
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
        """Return the answer as it is sent: JSON, the size of which is mostly the same each time."""
        head, parts = _templates(self.version.problem, self.version.version, self.classes)
        # orjson writes the numbers at once; to make objects of them for it takes three times as
        # long as all the rest.
        numbers = orjson.dumps(self.probabilities.ravel(), option=_NUMPY)[1:-1].decode().split(",")
        if len(ids) == 1 and self.explanations is None:
            # Most requests are so: one prediction needs no columns.
            return f"{head}{parts[self.decided[0]] % (*ids, *numbers, '')}]}}".encode()
        width = len(self.classes)
        explanations: Sequence[str] = [""] * len(ids)
        if self.explanations is not None:
            explanations = [
                f',"explanation":{orjson.dumps(each).decode()}' for each in self.explanations
            ]
        values: list[str] = [""] * (len(ids) * (width + 2))
        values[0 :: width + 2] = ids
        for column in range(width):
            values[column + 1 :: width + 2] = numbers[column::width]
        values[width + 1 :: width + 2] = explanations
        predictions = ",".join([parts[position] for position in self.decided]) % tuple(values)
        return f"{head}{predictions}]}}".encode()

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


@lru_cache(_TEMPLATES)
def _templates(problem: str, version: int, classes: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the begin of an answer, and for each class how a prediction of it is written."""
    columns = ",".join(f"{_literal(name)}:%s" for name in classes)
    parts = [
        f'{{"prediction_id":"%s","label":{_literal(name)},"probabilities":{{{columns}}},'
        f'"version":{version}%s}}'
        for name in classes
    ]
    return f'{{"model":{orjson.dumps(problem).decode()},"predictions":[', tuple(parts)


def _literal(name: str) -> str:
    """Return a text as JSON in which no sign stands for a value."""
    return orjson.dumps(name).decode().replace("%", "%%")
