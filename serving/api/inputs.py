"""Inputs of a request: which can be classified, and what is wrong with each of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from perennial.reasons import ReasonCode, UnusableError
from serving.api.answer import Answer
from serving.api.errors import ApiError, InputError
from serving.api.schemas import Input
from serving.api.wire.parsing import BrokenText
from serving.models.loaded import Loaded

# Cost of one field of a tabular model, in characters of a text model.
FIELD_CHARACTERS = 50
_SHOWN = 60
_NONE: Mapping[int, InputError] = MappingProxyType({})


class Checked(NamedTuple):
    """The inputs of a request.

    Attributes
    ----------
    usable : sequence of str or mapping
        Those that can be classified, as the model takes them, in their order.
    refused : mapping of int to InputError
        Position of each other one -> what is wrong with it.
    """

    usable: Sequence[Input]
    refused: Mapping[int, InputError] = _NONE

    @property
    def errors(self) -> list[InputError]:
        """What is wrong, in the order of the inputs."""
        return [self.refused[position] for position in sorted(self.refused)]

    def refusal(self) -> ApiError:
        """Return the refusal of the request: the first error, and all of several inputs."""
        errors = self.errors
        return ApiError(
            422,
            errors[0].code,
            errors[0].message,
            field=errors[0].field,
            errors=errors if len(self.usable) + len(errors) > 1 else (),
        )


def check_inputs(inputs: Sequence[Any], loaded: Loaded, *, max_characters: int) -> Checked:
    """Return which inputs a model can classify; one that is wrong does not hold up the others."""
    if loaded.fields is not None:
        return _check_records(inputs, loaded, loaded.fields)
    refused = {
        position: _text_error(position, found, loaded, max_characters)
        for position, found in enumerate(inputs)
        if type(found) is not str or len(found) > max_characters
    }
    if not refused:
        return Checked(inputs)
    usable = [found for position, found in enumerate(inputs) if position not in refused]
    return Checked(usable, refused)


def leave_out_unanswered(
    answer: Answer, checked: Checked, loaded: Loaded
) -> tuple[Answer, Checked]:
    """Return an answer without the inputs that were beyond what the model computes with."""
    answered = answer.answered
    if all(answered):
        return answer, checked
    positions = (
        position
        for position in range(len(checked.usable) + len(checked.refused))
        if position not in checked.refused
    )
    refused, usable = dict(checked.refused), []
    for position, found, is_answered in zip(positions, checked.usable, answered, strict=True):
        if is_answered:
            usable.append(found)
            continue
        name = loaded.predictor.beyond(found)
        why = "is beyond the numbers with which this model computes"
        refused[position] = _error(position, name, ReasonCode.OUT_OF_RANGE, why)
    return answer.take([row for row, each in enumerate(answered) if each]), Checked(usable, refused)


def measure(inputs: Sequence[Input], loaded: Loaded) -> list[int]:
    """Return the size of each input in characters."""
    if loaded.fields is not None:
        size = len(loaded.fields) * FIELD_CHARACTERS
        texts = [name for name, kind in loaded.fields.items() if kind == "text"]
        records = cast("Sequence[Mapping[str, Any]]", inputs)
        return [size + sum(len(found[name] or "") for name in texts) for found in records]
    return [len(found) for found in inputs]


def _check_records(inputs: Sequence[Any], loaded: Loaded, fields: Mapping[str, str]) -> Checked:
    # The worker answers its probes while what a model needs is imported; it is by now.
    from perennial.inputs.records import check_record

    usable: list[Input] = []
    refused: dict[int, InputError] = {}
    for position, found in enumerate(inputs):
        if not isinstance(found, Mapping):
            refused[position] = _wrong_kind(position, "an object of fields", loaded)
            continue
        unknown = next(_unknown(found, fields), None)
        if unknown is not None:
            why = f"is an unknown field; known fields: {', '.join(fields)}"
            refused[position] = _error(position, unknown, ReasonCode.UNKNOWN_FIELD, why)
            continue
        try:
            usable.append(check_record(fields, found, loaded.required))
        except UnusableError as error:
            refused[position] = _error(position, error.field, error.code, error.why)
    return Checked(usable, refused)


def _unknown(given: Mapping[str, Any], fields: Mapping[str, str], way: str = "") -> Iterator[str]:
    """Yield the paths of what is no field; objects on the way to a field are looked into."""
    for name, value in given.items():
        path = way + name
        if path in fields:
            continue
        inside = f"{path}."
        if isinstance(value, Mapping) and any(field.startswith(inside) for field in fields):
            yield from _unknown(value, fields, inside)
        else:
            yield path


def _text_error(position: int, found: Any, loaded: Loaded, most: int) -> InputError:
    if isinstance(found, BrokenText):
        why = "has half of a character, which is no valid Unicode"
        return _error(position, None, ReasonCode.NOT_UTF8, why)
    if not isinstance(found, str):
        return _wrong_kind(position, "a text", loaded)
    why = f"has {len(found):,} characters; at most {most:,} are allowed"
    return _error(position, None, ReasonCode.TOO_LONG, why)


def _wrong_kind(position: int, wanted: str, loaded: Loaded) -> InputError:
    """Return the error about an input that is a text instead of an object, or the other way."""
    why = f"must be {wanted} for the model {loaded.version.problem}"
    return _error(position, None, ReasonCode.WRONG_TYPE, why)


def _error(position: int, name: str | None, code: ReasonCode, why: str) -> InputError:
    place = f"inputs[{position}]"
    if name is not None:
        # A name that somebody sent may be long, or have half of a character.
        place += f".{name[:_SHOWN].encode('utf-8', 'replace').decode()}"
    return InputError(position, code.value, f"{place} {why}.", place)
