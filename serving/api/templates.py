"""The JSON of an answer, generated from its schema, with slots for the values that vary.

The schema writes the answer once for each version and label, and each request fills in its values.
That is as quick as a template written by hand, and a field that is in the schema and not in what
fills it, or the other way round, ends the import of `serving.api.answer`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from perennial.config.answering.abstain import ABSTENTIONS
from perennial.inference.contribution import Contribution
from serving.api.errors import AnswerWarning, InputError
from serving.api.schemas import ClassifyAnswer

# JSON escapes this character in every text, so that it stands for a value and nothing else.
_SLOT = "\0"
_TEXT, _VALUE = orjson.Fragment(f'"{_SLOT}"'), orjson.Fragment(_SLOT)
# What an explanation is, in the order of `EXPLAINED`.
EXPLAINED = ("explanation", "baseline", "others")
_VARYING = ("prediction_id", "probabilities", "known", "abstained", *EXPLAINED, "warnings")
ABSTAINED = "abstained"
_OPTIONAL = (ABSTAINED, "explanation", "warnings")
_PARTS = ("predictions", "errors")
_EXPLANATION = [Contribution("funny", 0.5, ((0, 5),))]
_WARNINGS = [AnswerWarning("missing", "inputs[0].width is missing.", "inputs[0].width")]
_ERRORS = [InputError(0, "missing", "inputs[0].width is missing.", "inputs[0].width")]


class Templates(NamedTuple):
    """The answer of one model version, as text with slots.

    Attributes
    ----------
    single : tuple of str
        Whole answer with one prediction, for each class, with ``%s`` for each value.
    head, tail : str
        Text before and after several predictions.
    predictions : mapping of frozenset of str to tuple of str
        Optional parts of a prediction -> the prediction of each class with them, with ``%s`` for
        each value. One that abstains has no class: its tuple has one entry.
    partial : str
        Answer with several predictions and with errors, with ``%s`` for each of both.
    """

    single: tuple[str, ...]
    head: str
    tail: str
    predictions: Mapping[frozenset[str], tuple[str, ...]]
    partial: str

    def of(self, parts: Iterable[str], position: int) -> str:
        """Return the prediction of a class with these optional parts."""
        found = self.predictions[frozenset(parts).intersection(_OPTIONAL)]
        return found[0 if ABSTAINED in parts else position]


class AnswerSchema:
    """Generator of templates from the schema of an answer.

    Parameters
    ----------
    answer : type of ClassifyAnswer
        The schema that documents the answer.

    Attributes
    ----------
    order : tuple of str
        Fields of a prediction that vary, in the order of their slots.
    parts : tuple of str
        Fields of a partial answer that vary, in the order of their slots.

    Raises
    ------
    ValidationError
        If the schema has other fields, or fields of other types, than those that are filled in.
    TypeError
        If the schema of a `Contribution` or an `InputError` has its fields in another order.
    """

    def __init__(self, answer: type[ClassifyAnswer]) -> None:
        self._answer = answer
        written = self._write("problem", 1, ["label"], parts=_OPTIONAL, partial=True)
        (prediction, _) = written["predictions"]
        _require_same(prediction["explanation"], _EXPLANATION)
        _require_same(prediction["warnings"], _WARNINGS)
        _require_same(written["errors"], _ERRORS)
        self.parts = tuple(name for name in written if name in _PARTS)
        self.order = tuple(name for name in prediction if name in _VARYING)
        self.templates("problem", 1, ["label"])

    def templates(self, problem: str, version: int, classes: Sequence[str]) -> Templates:
        """Return the templates of a model version."""
        plain = self._write(problem, version, classes)
        slotted = [_with_slots(each) for each in plain["predictions"]]
        combinations = [
            frozenset(parts)
            for number in range(len(_OPTIONAL) + 1)
            for parts in itertools.combinations(_OPTIONAL, number)
        ]
        partial = self._write(problem, version, classes, partial=True)
        head, tail = orjson.dumps({**plain, "predictions": [_VALUE]}).decode().split(_SLOT)
        return Templates(
            tuple(_template({**plain, "predictions": [each]}) for each in slotted),
            head,
            tail,
            {parts: self._predictions(problem, version, classes, parts) for parts in combinations},
            _template({**partial, "predictions": [_VALUE], "errors": _VALUE}),
        )

    def _predictions(
        self, problem: str, version: int, classes: Sequence[str], parts: Collection[str]
    ) -> tuple[str, ...]:
        written = self._write(problem, version, classes, parts=parts)
        return tuple(_template(_with_slots(each)) for each in written["predictions"])

    def _write(
        self,
        problem: str,
        version: int,
        classes: Sequence[str],
        *,
        parts: Collection[str] = (),
        partial: bool = False,
    ) -> dict[str, Any]:
        """Return an answer with one prediction of each class, as the schema orders it.

        A partial one has one input more, which cannot be classified.
        """
        optional: dict[str, Any] = {
            ABSTAINED: ABSTENTIONS[0],
            "explanation": _EXPLANATION,
            "warnings": _WARNINGS,
        }
        sums = dict.fromkeys(EXPLAINED[1:], 0.0) if "explanation" in parts else {}
        labels: Sequence[str | None] = (None,) if ABSTAINED in parts else classes
        predictions: list[dict[str, Any] | None] = [
            {
                "prediction_id": "",
                "label": label,
                "probabilities": dict.fromkeys(classes, 0.0),
                "version": version,
                "known": 1.0,
                **{name: value for name, value in optional.items() if name in parts},
                **sums,
            }
            for label in labels
        ]
        content: dict[str, Any] = {"model": problem, "predictions": predictions}
        if partial:
            predictions.append(None)
            content["errors"] = _ERRORS
        filled = orjson.dumps(content)
        return self._answer.model_validate_json(filled).model_dump(exclude_unset=True)


def _require_same(documented: object, sent: Sequence[object]) -> None:
    """Require that a schema writes objects as they are, since they are sent so."""
    if orjson.dumps(documented) != orjson.dumps(sent):
        kind = type(sent[0])
        raise TypeError(
            f"The fields of a schema must have the order of {kind.__module__}.{kind.__name__}, "
            "which is sent as it is."
        )


def _with_slots(prediction: dict[str, Any]) -> dict[str, Any]:
    """Return a prediction with a slot in place of each value that varies."""
    slots = {
        "prediction_id": _TEXT,
        "probabilities": dict.fromkeys(prediction["probabilities"], _VALUE),
        "known": _VALUE,
        ABSTAINED: _TEXT,
        **dict.fromkeys(EXPLAINED, _VALUE),
        "warnings": _VALUE,
    }
    return {name: slots.get(name, value) for name, value in prediction.items()}


def _template(document: dict[str, Any]) -> str:
    """Return a document as JSON in which each slot, and no sign of a text, is a ``%s``."""
    return orjson.dumps(document).decode().replace("%", "%%").replace(_SLOT, "%s")
