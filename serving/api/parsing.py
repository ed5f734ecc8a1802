"""Validation of request bodies, with one sentence for the first error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from serving.api.errors import ApiError

_JSON = b"application/json"
_CHARSETS = frozenset({b"", b"charset=utf-8", b'charset="utf-8"'})
_INPUTS = "inputs"
_SHOWN = 60
_MOST_ERRORS = 1000

RequestT = TypeVar("RequestT", bound=BaseModel)


def require_json(headers: Mapping[bytes, bytes]) -> None:
    """Check that a request declares its body as JSON.

    Raises
    ------
    ApiError
        415 otherwise.
    """
    said = headers.get(b"content-type", b"")
    if said != _JSON:
        kind, _, parameter = said.lower().partition(b";")
        if kind.strip() != _JSON or parameter.strip() not in _CHARSETS:
            raise ApiError(
                415, "not_json", "Send JSON in UTF-8, with Content-Type: application/json."
            )
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise ApiError(415, "encoded", "Send the body without Content-Encoding.")


def parse(schema: type[RequestT], body: bytes) -> RequestT:
    """Return the values of a body.

    Raises
    ------
    ApiError
        400 if the body is not JSON, 422 if a value is wrong; `field` names the wrong part.
    """
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        # To list a million errors takes many seconds and gigabytes: it would be an attack.
        if error.error_count() > _MOST_ERRORS:
            message = f"The body has more than {_MOST_ERRORS:,} wrong values or unknown fields."
            raise ApiError(422, "wrong_value", message) from None
        details = error.errors(include_url=False, include_context=True)
        raise _complaint(schema, _telling(details)) from None


def _telling(details: Sequence[ErrorDetails]) -> ErrorDetails:
    """Return the error of the branch that was meant, where a value may be one of several types."""
    first = details[0]
    if isinstance(first["input"], dict):
        deeper = [detail for detail in details if len(detail["loc"]) > len(first["loc"])]
        return (deeper or [first])[0]
    return first


def _complaint(schema: type[BaseModel], detail: ErrorDetails) -> ApiError:
    if detail["type"] == "json_invalid":
        return ApiError(400, "malformed_json", f"The body is not valid JSON: {detail['msg']}.")
    field = _field(detail["loc"])
    code, message = _sentence(schema, detail, field)
    return ApiError(422, code, f"{field or 'The body'} {message}.", field=field)


def _sentence(schema: type[BaseModel], detail: ErrorDetails, field: str | None) -> tuple[str, str]:
    """Return the code of an error, and the predicate of the sentence about its field."""
    kind, most = detail["type"], detail.get("ctx", {}).get("max_length", 0)
    known = {
        "extra_forbidden": (
            "unknown_field",
            f"is an unknown field; known fields: {', '.join(schema.model_fields)}",
        ),
        "missing": ("missing", "is missing"),
        "too_long": ("too_many", f"has more than the {most:,} entries that are allowed"),
        "too_short": ("empty", "must not be empty"),
        "string_too_short": ("empty", "must not be empty"),
    }
    if kind == "string_too_long":
        count = len(detail["input"])
        return "too_long", f"has {count:,} characters; at most {most:,} are allowed"
    if kind == "string_type" and field is not None and field.startswith(f"{_INPUTS}["):
        return "wrong_type", "must be a text, or an object of fields"
    return known.get(kind, ("wrong_value", f"is wrong: {detail['msg']}"))


def _field(location: Sequence[str | int]) -> str | None:
    """Return a place in the body as one would write it: ``inputs[3]``, ``inputs[3].width``."""
    if not location:
        return None
    name, rest = str(location[0]), list(location[1:])
    if name == _INPUTS and rest:
        name += f"[{rest.pop(0)}]"
        # The next part is pydantic's name for one type of several.
        rest = rest[1:2]
    shown = ".".join([name, *(str(part) for part in rest)])
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
