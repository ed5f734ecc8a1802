"""Inputs of tabular models: records with the fields that the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from serving.api.errors import ApiError
from serving.api.schemas import Input
from serving.models.loaded import Loaded

# Cost of one field of a tabular model, in characters of a text model.
FIELD_CHARACTERS = 50
_SHOWN = 60


def records(inputs: Sequence[Input], loaded: Loaded) -> list[Input]:
    """Return the inputs as the model needs them, with integers converted to floats.

    Raises
    ------
    ApiError
        422 if an input is not an object, or has a missing, unknown or wrong field; the message
        names the input and the field.
    """
    return [_record(found, index, loaded) for index, found in enumerate(inputs)]


def wrong_kind(index: int, name: str, loaded: Loaded) -> ApiError:
    """Return the error about an input that is a text instead of an object, or the other way."""
    field = f"inputs[{index}]"
    message = f"{field} must be {name} for the model {loaded.version.problem}."
    return ApiError(422, "wrong_type", message, field=field)


def _record(found: Input, index: int, loaded: Loaded) -> Input:
    # The worker answers its probes while what a model needs is imported; it is by now.
    from perennial.inputs.records import FieldError, check_record

    fields = loaded.fields or {}
    if not isinstance(found, Mapping):
        raise wrong_kind(index, "an object of fields", loaded)
    unknown = next((name for name in found if name not in fields), None)
    if unknown is not None:
        known = ", ".join(fields)
        raise _complaint(
            index, unknown, f"is an unknown field; known fields: {known}", "unknown_field"
        )
    try:
        return check_record(fields, found)
    except FieldError as error:
        code = "missing" if error.field not in found else "wrong_type"
        raise _complaint(index, error.field, str(error), code) from None


def _complaint(index: int, name: str, why: str, code: str) -> ApiError:
    field = f"inputs[{index}].{name[:_SHOWN]}"
    return ApiError(422, code, f"{field} {why}.", field=field)
