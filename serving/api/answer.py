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
from serving.api.errors import InputError
from serving.api.schemas import ClassifyAnswer, Input
from serving.api.templates import AnswerSchema, Templates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from perennial.inference.contribution import Contribution

_MOST_TEMPLATES = 256
_SCHEMA = AnswerSchema(ClassifyAnswer)
_ID_FIRST = _SCHEMA.order.index("prediction_id") < _SCHEMA.order.index("probabilities")
_NO_PREDICTION = "null"
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True, eq=False)
class Answer:
    """The predictions for the inputs of a request, in their order.

    Attributes
    ----------
    version : ModelVersion
        Version that answers.
    classes : tuple of str
        Labels of the columns of `probabilities`.
    decided : list of int
        The position in `classes` of each input's label.
    probabilities : ndarray of float64, shape (n_inputs, n_classes)
        Probability of each class.
    explanations : sequence or None
        Contributions to each prediction, if requested.
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

    @property
    def answered(self) -> list[bool]:
        """Whether each input has probabilities; others were beyond what the model computes with."""
        answered: list[bool] = (self.probabilities[:, 0] >= 0).tolist()
        return answered

    def take(self, rows: Sequence[int]) -> Answer:
        """Return the answer for some of the inputs."""
        explained = self.explanations
        return Answer(
            self.version,
            self.classes,
            [self.decided[row] for row in rows],
            self.probabilities[list(rows)],
            None if explained is None else [explained[row] for row in rows],
        )

    def body(self, ids: Sequence[str], errors: Sequence[InputError] = ()) -> bytes:
        """Return the answer as JSON, the size of which is mostly the same each time.

        Parameters
        ----------
        ids : sequence of str
            Identifier of each prediction.
        errors : sequence of InputError
            What is wrong with the inputs that are not among those of this answer, in their order.
        """
        templates = _templates(self.version.problem, self.version.version, self.classes)
        # orjson writes the numbers at once; to make objects of them for it takes three times as
        # long as all the rest.
        numbers = orjson.dumps(self.probabilities.ravel(), option=_NUMPY)[1:-1].decode().split(",")
        if len(ids) == 1 and self.explanations is None and not errors:
            # Most requests are so: one prediction needs no columns.
            whole = templates.single[self.decided[0]]
            values = (*ids, *numbers) if _ID_FIRST else (*numbers, *ids)
            return (whole % values).encode()
        return self._body_of_columns(templates, ids, numbers, errors)

    def _body_of_columns(
        self,
        templates: Templates,
        ids: Sequence[str],
        numbers: Sequence[str],
        errors: Sequence[InputError],
    ) -> bytes:
        parts, width = templates.plain, len(self.classes)
        columns: dict[str, list[Sequence[str]]] = {
            "prediction_id": [ids],
            "probabilities": [numbers[column::width] for column in range(width)],
            "explanation": [],
        }
        if self.explanations is not None:
            parts = templates.explained
            columns["explanation"] = [[orjson.dumps(each).decode() for each in self.explanations]]
        ordered = [column for name in _SCHEMA.order for column in columns[name]]
        cells = [""] * (len(ids) * len(ordered))
        for place, column in enumerate(ordered):
            cells[place :: len(ordered)] = column
        written = [parts[position] for position in self.decided]
        for error in errors:
            written.insert(error.position, _NO_PREDICTION)
        predictions = ",".join(written) % tuple(cells)
        if errors:
            values = {"predictions": predictions, "errors": orjson.dumps(errors).decode()}
            return (templates.partial % tuple(values[part] for part in _SCHEMA.parts)).encode()
        return f"{templates.head}{predictions}{templates.tail}".encode()

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
