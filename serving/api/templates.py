"""The JSON of an answer, generated from its schema, with slots for the values that vary.

The schema writes the answer once for each version and label, and each request fills in its values.
That is as quick as a template written by hand, and a field that is in the schema and not in what
fills it, or the other way round, ends the import of `serving.api.answer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from perennial.inference.contribution import Contribution
from serving.api.schemas import ClassifyAnswer

# JSON escapes this character in every text, so that it stands for a value and nothing else.
_SLOT = "\0"
_TEXT, _VALUE = orjson.Fragment(f'"{_SLOT}"'), orjson.Fragment(_SLOT)
_VARYING = ("prediction_id", "probabilities", "explanation")
_EXPLANATION = [Contribution("funny", 0.5, ((0, 5),))]


class Templates(NamedTuple):
    """The answer of one model version, as text with slots.

    Attributes
    ----------
    head, tail : str
        Text before and after the predictions.
    plain : tuple of str
        Prediction of each class, with ``%s`` for each value.
    explained : tuple of str
        Prediction of each class with an explanation.
    """

    head: str
    tail: str
    plain: tuple[str, ...]
    explained: tuple[str, ...]


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

    Raises
    ------
    ValidationError
        If the schema has other fields, or fields of other types, than those that are filled in.
    TypeError
        If the schema of a `Contribution` has its fields in another order.
    """

    def __init__(self, answer: type[ClassifyAnswer]) -> None:
        self._answer = answer
        (prediction,) = self._write("problem", 1, ["label"], explained=True)["predictions"]
        if orjson.dumps(prediction["explanation"]) != orjson.dumps(_EXPLANATION):
            raise TypeError(
                f"The fields of an explanation must have the order of {Contribution.__module__}."
                f"{Contribution.__name__}, which is sent as it is."
            )
        self.order = tuple(name for name in prediction if name in _VARYING)
        self.templates("problem", 1, ["label"])

    def templates(self, problem: str, version: int, classes: Sequence[str]) -> Templates:
        """Return the templates of a model version."""
        plain = self._write(problem, version, classes)
        explained = self._write(problem, version, classes, explained=True)
        head, tail = orjson.dumps({**plain, "predictions": [_VALUE]}).decode().split(_SLOT)
        return Templates(
            head,
            tail,
            tuple(_template(each) for each in plain["predictions"]),
            tuple(_template(each) for each in explained["predictions"]),
        )

    def _write(
        self, problem: str, version: int, classes: Sequence[str], *, explained: bool = False
    ) -> dict[str, Any]:
        """Return an answer with one prediction of each class, as the schema orders it."""
        predictions = [
            {
                "prediction_id": "",
                "label": label,
                "probabilities": dict.fromkeys(classes, 0.0),
                "version": version,
                **({"explanation": _EXPLANATION} if explained else {}),
            }
            for label in classes
        ]
        filled = orjson.dumps({"model": problem, "predictions": predictions})
        return self._answer.model_validate_json(filled).model_dump(exclude_unset=True)


def _template(prediction: dict[str, Any]) -> str:
    """Return a prediction as JSON in which ``%s`` stands for each value that varies."""
    slots = {
        "prediction_id": _TEXT,
        "probabilities": dict.fromkeys(prediction["probabilities"], _VALUE),
        "explanation": _VALUE,
    }
    written = {name: slots.get(name, value) for name, value in prediction.items()}
    return orjson.dumps(written).decode().replace("%", "%%").replace(_SLOT, "%s")
