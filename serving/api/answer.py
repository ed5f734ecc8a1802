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
from serving.api.errors import AnswerWarning, InputError
from serving.api.schemas import ClassifyAnswer, Input
from serving.api.templates import AnswerSchema, Templates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from perennial.inference.contribution import Contribution
    from perennial.inference.warnings import InputWarning

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
    warnings : sequence or None
        What the model could not go by in each input; None if there is nothing in any.
    """

    version: ModelVersion
    classes: tuple[str, ...]
    decided: list[int]
    probabilities: NDArray[np.float64]
    explanations: Sequence[Sequence[Contribution]] | None
    warnings: Sequence[Sequence[InputWarning]] | None = None

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
        explained, warned = self.explanations, self.warnings
        return Answer(
            self.version,
            self.classes,
            [self.decided[row] for row in rows],
            self.probabilities[list(rows)],
            None if explained is None else [explained[row] for row in rows],
            None if warned is None else [warned[row] for row in rows],
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
        if self.warnings is not None:
            return self._body_with_warnings(templates, ids, numbers, errors, self.warnings)
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
        ordered = [column for name in _SCHEMA.order for column in columns.get(name, ())]
        cells = [""] * (len(ids) * len(ordered))
        for place, column in enumerate(ordered):
            cells[place :: len(ordered)] = column
        written = [parts[position] for position in self.decided]
        for error in errors:
            written.insert(error.position, _NO_PREDICTION)
        return self._whole(templates, ",".join(written) % tuple(cells), errors)

    def _body_with_warnings(
        self,
        templates: Templates,
        ids: Sequence[str],
        numbers: Sequence[str],
        errors: Sequence[InputError],
        warnings: Sequence[Sequence[InputWarning]],
    ) -> bytes:
        refused = {error.position for error in errors}
        positions = [place for place in range(len(ids) + len(refused)) if place not in refused]
        width, explained = len(self.classes), self.explanations
        written: list[str] = []
        for row, (position, found) in enumerate(zip(positions, warnings, strict=True)):
            values: dict[str, Sequence[str]] = {
                "prediction_id": [ids[row]],
                "probabilities": numbers[row * width : (row + 1) * width],
            }
            if explained is not None:
                values["explanation"] = [orjson.dumps(explained[row]).decode()]
            if found:
                values["warnings"] = [orjson.dumps(_warnings(position, found)).decode()]
            kinds = {name for name in ("explanation", "warnings") if name in values}
            parts = templates.of(kinds)
            cells = [cell for name in _SCHEMA.order for cell in values.get(name, ())]
            written.append(parts[self.decided[row]] % tuple(cells))
        for error in errors:
            written.insert(error.position, _NO_PREDICTION)
        return self._whole(templates, ",".join(written), errors)

    def _whole(self, templates: Templates, predictions: str, errors: Sequence[InputError]) -> bytes:
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
        _joined_warnings(portions),
    )


def _joined_warnings(portions: Sequence[Answer]) -> Sequence[Sequence[InputWarning]] | None:
    if all(part.warnings is None for part in portions):
        return None
    return [
        found
        for part in portions
        for found in ([()] * len(part.decided) if part.warnings is None else part.warnings)
    ]


def _warnings(position: int, found: Sequence[InputWarning]) -> list[AnswerWarning]:
    return [
        AnswerWarning(each.code.value, f"{place} {each.why}.", place)
        for each in found
        for place in [f"inputs[{position}]" + (f".{each.field}" if each.field else "")]
    ]


@lru_cache(_MOST_TEMPLATES)
def _templates(problem: str, version: int, classes: tuple[str, ...]) -> Templates:
    return _SCHEMA.templates(problem, version, classes)
