"""The predictions for one request, and how they are sent and logged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from time import time
from typing import TYPE_CHECKING, NamedTuple

import orjson

from perennial.hashing import digest
from perennial.inference.contribution import MOST_SPANS, Explanation
from perennial.registry.model_version import ModelVersion
from perennial.stores.prediction_log import Logged
from serving.api.errors import AnswerWarning, InputError
from serving.api.schemas import ClassifyAnswer, Input
from serving.api.templates import ABSTAINED, EXPLAINED, AnswerSchema, Templates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from perennial.config.answering.abstain import Abstain, Abstention
    from perennial.inference.warnings import InputWarning

_MOST_TEMPLATES = 256
_SCHEMA = AnswerSchema(ClassifyAnswer)
# What varies in every prediction, in the order of its slots.
_IN_EACH = ("prediction_id", "probabilities", "known")
_EACH = tuple(name for name in _SCHEMA.order if name in _IN_EACH)
_DIGITS = 4
_NO_PREDICTION = "null"
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


class Answer(NamedTuple):
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
    known : sequence of float
        How much of each input the model knows, from 0 to 1.
    explanations : sequence or None
        What moved each prediction, and from where, if requested.
    warnings : sequence or None
        What the model could not go by in each input; None if there is nothing in any.
    abstained : sequence or None
        Why each label is not given, None for one that is; None if all are given.
    """

    version: ModelVersion
    classes: tuple[str, ...]
    decided: list[int]
    probabilities: NDArray[np.float64]
    known: Sequence[float]
    explanations: Sequence[Explanation] | None
    warnings: Sequence[Sequence[InputWarning]] | None = None
    abstained: Sequence[Abstention | None] | None = None

    @property
    def labels(self) -> list[str]:
        """The label that the model decides on for each input, whether or not it is given."""
        classes = self.classes
        return [classes[position] for position in self.decided]

    @property
    def given(self) -> list[str | None]:
        """The label of each input that is given; None where the model abstains."""
        if self.abstained is None:
            return list(self.labels)
        pairs = zip(self.labels, self.abstained, strict=True)
        return [label if why is None else None for label, why in pairs]

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
            [self.known[row] for row in rows],
            None if explained is None else [explained[row] for row in rows],
            None if warned is None else [warned[row] for row in rows],
        )

    def judged(self, rule: Abstain) -> Answer:
        """Return the answer without the labels that a rule keeps back."""
        why = [rule.judge(*each) for each in zip(self.known, self._sure, strict=True)]
        return self._replace(abstained=why) if any(why) else self

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
        known = [repr(round(share, _DIGITS)) for share in self.known]
        is_plain = self.warnings is None and self.abstained is None
        if is_plain and len(ids) == 1 and self.explanations is None and not errors:
            # Most requests are so: one prediction needs no columns.
            return (templates.single[self.decided[0]] % _cells(ids, numbers, known)).encode()
        cells = {"prediction_id": ids, "probabilities": numbers, "known": known}
        if is_plain:
            return self._body_of_columns(templates, cells, errors)
        return self._body_of_rows(templates, cells, errors)

    def _body_of_columns(
        self,
        templates: Templates,
        each: Mapping[str, Sequence[str]],
        errors: Sequence[InputError],
    ) -> bytes:
        """Return the answer of predictions that have the same parts."""
        width, kinds = len(self.classes), frozenset[str]()
        numbers = each["probabilities"]
        columns: dict[str, list[Sequence[str]]] = {
            "prediction_id": [each["prediction_id"]],
            "probabilities": [numbers[column::width] for column in range(width)],
            "known": [each["known"]],
        }
        if self.explanations is not None:
            kinds = frozenset({"explanation"})
            written_out = map(_explained, self.explanations)
            columns |= {
                name: [column]
                for name, column in zip(EXPLAINED, zip(*written_out, strict=True), strict=True)
            }
        ordered = [column for name in _SCHEMA.order for column in columns.get(name, ())]
        cells = [""] * (len(self.decided) * len(ordered))
        for place, column in enumerate(ordered):
            cells[place :: len(ordered)] = column
        parts = templates.predictions[kinds]
        written = [parts[position] for position in self.decided]
        for error in errors:
            written.insert(error.position, _NO_PREDICTION)
        return self._whole(templates, ",".join(written) % tuple(cells), errors)

    def _body_of_rows(
        self,
        templates: Templates,
        each: Mapping[str, Sequence[str]],
        errors: Sequence[InputError],
    ) -> bytes:
        """Return the answer of predictions of which some have warnings, or no label."""
        refused = {error.position for error in errors}
        count, width = len(self.decided), len(self.classes)
        positions = [place for place in range(count + len(refused)) if place not in refused]
        written: list[str] = []
        for row, position in enumerate(positions):
            values: dict[str, Sequence[str]] = {
                "prediction_id": [each["prediction_id"][row]],
                "probabilities": each["probabilities"][row * width : (row + 1) * width],
                "known": [each["known"][row]],
            }
            optional = self._optional(row, position)
            cells = [
                cell
                for name in _SCHEMA.order
                for cell in values.get(name, (optional[name],) if name in optional else ())
            ]
            written.append(templates.of(optional, self.decided[row]) % tuple(cells))
        for error in errors:
            written.insert(error.position, _NO_PREDICTION)
        return self._whole(templates, ",".join(written), errors)

    def _optional(self, row: int, position: int) -> dict[str, str]:
        """Return those parts of a prediction that not every one has, as they are written."""
        found: dict[str, str] = {}
        if self.abstained is not None and (why := self.abstained[row]) is not None:
            found[ABSTAINED] = why
        if self.explanations is not None:
            found |= zip(EXPLAINED, _explained(self.explanations[row]), strict=True)
        if self.warnings is not None and self.warnings[row]:
            found["warnings"] = orjson.dumps(_warnings(position, self.warnings[row])).decode()
        return found

    def _whole(self, templates: Templates, predictions: str, errors: Sequence[InputError]) -> bytes:
        if errors:
            values = {"predictions": predictions, "errors": orjson.dumps(errors).decode()}
            return (templates.partial % tuple(values[part] for part in _SCHEMA.parts)).encode()
        return f"{templates.head}{predictions}{templates.tail}".encode()

    def logged(
        self,
        ids: Sequence[str],
        inputs: Sequence[Input],
        seconds: float,
        key: bytes | None = None,
    ) -> Logged:
        """Return the answer as it is kept in the log, with the digest of its request's key."""
        return Logged(
            at=time(),
            problem=self.version.problem,
            version=self.version.version,
            ids=ids,
            labels=self.labels,
            probabilities=self._sure,
            inputs=inputs,
            seconds=seconds,
            key=None if key is None else digest(key).hex(),
        )

    @property
    def _sure(self) -> list[float]:
        """The probability of each label that the model decides on."""
        if len(self.decided) == 1:
            # Most requests are so, and NumPy takes as long to look for one number as for hundreds.
            return [self.probabilities.item(0, self.decided[0])]
        sure: list[float] = self.probabilities[range(len(self.decided)), self.decided].tolist()
        return sure


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
        [share for part in portions for share in part.known],
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


def _cells(ids: Sequence[str], numbers: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the values of a single prediction, in the order of its slots."""
    if _EACH == _IN_EACH:
        return (*ids, *numbers, *known)
    values = dict(zip(_IN_EACH, (ids, numbers, known), strict=True))
    return tuple(cell for name in _EACH for cell in values[name])


def _explained(found: Explanation) -> tuple[str, str, str]:
    """Return the parts of an explanation as JSON, without what JSON has no number for."""
    shown = [
        replace(each, spans=each.spans[:MOST_SPANS]) if len(each.spans) > MOST_SPANS else each
        for each in found.contributions
        if math.isfinite(each.contribution)
    ]
    baseline, others = (orjson.dumps(number).decode() for number in (found.baseline, found.others))
    return orjson.dumps(shown).decode(), baseline, others


def _warnings(position: int, found: Sequence[InputWarning]) -> list[AnswerWarning]:
    return [
        AnswerWarning(each.code.value, f"{place} {each.why}.", place)
        for each in found
        for place in [f"inputs[{position}]" + (f".{each.field}" if each.field else "")]
    ]


@lru_cache(_MOST_TEMPLATES)
def _templates(problem: str, version: int, classes: tuple[str, ...]) -> Templates:
    return _SCHEMA.templates(problem, version, classes)
