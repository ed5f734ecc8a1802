"""Validation of request bodies, with one sentence for the first error."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from serving.api.errors import ApiError

_JSON = b"application/json"
_CHARSETS = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii"})
_GZIP = frozenset({b"gzip", b"x-gzip"})
_UNCODED = frozenset({b"", b"identity"})
# So that zlib reads a gzip header and its checksum.
_GZIP_WINDOW = 31
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_INPUTS = "inputs"
_SHOWN = 60
_MOST_ERRORS = 1000
_MOST_DIGITS = 400


class BrokenText(str):
    """A text with half of a character, which JSON may have and Unicode has not."""

    __slots__ = ()


RequestT = TypeVar("RequestT", bound=BaseModel)


def require_json(headers: Mapping[bytes, bytes]) -> None:
    """Check that a request declares its body as JSON.

    Raises
    ------
    ApiError
        415 otherwise.
    """
    said = headers.get(b"content-type", b"")
    if said != _JSON and not _is_json(said.lower()):
        raise ApiError(415, "not_json", "Send JSON in UTF-8, with Content-Type: application/json.")
    coding = headers.get(b"content-encoding")
    if coding is not None and coding.strip().lower() not in _GZIP | _UNCODED:
        raise ApiError(415, "encoded", "Send the body as it is, or with Content-Encoding: gzip.")


def _is_json(said: bytes) -> bool:
    kind, *parameters = said.split(b";")
    values = dict(parameter.strip().partition(b"=")[::2] for parameter in parameters)
    charset = values.get(b"charset", b"utf-8").strip(b'" ')
    return kind.strip() == _JSON and charset in _CHARSETS


def decode(headers: Mapping[bytes, bytes], body: bytes, most: int) -> bytes:
    """Return a body without its content coding and byte order mark.

    Raises
    ------
    ApiError
        400 if the body is not what its Content-Encoding says; 413 if it would be longer than
        `most` bytes, of which no more are unpacked.
    """
    if headers.get(b"content-encoding", b"").strip().lower() in _GZIP:
        body = _unpack(body, most)
    return body.removeprefix(_BYTE_ORDER_MARK)


def _unpack(body: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        content = unpacker.decompress(body, most + 1)
    except zlib.error:
        raise _no_gzip() from None
    if len(content) > most:
        raise ApiError(
            413, "too_large", f"The unpacked body is larger than the {most:,} bytes allowed."
        )
    # A part is missing, or another follows.
    if not unpacker.eof or unpacker.unused_data:
        raise _no_gzip()
    return content


def _no_gzip() -> ApiError:
    return ApiError(400, "malformed_gzip", "The body is not one whole gzip file.")


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
        failed = error
    if _is_no_json(failed):
        content = _read_leniently(body)
        if content is not None:
            try:
                return schema.model_validate(content)
            except ValidationError as error:
                failed = error
    # To list a million errors takes many seconds and gigabytes: it would be an attack.
    if failed.error_count() > _MOST_ERRORS:
        message = f"The body has more than {_MOST_ERRORS:,} wrong values or unknown fields."
        raise ApiError(422, "wrong_value", message)
    raise _complaint(schema, failed.errors(include_url=False, include_context=True)[0])


def _is_no_json(failed: ValidationError) -> bool:
    if failed.error_count() > 1:
        return False
    (detail,) = failed.errors(include_url=False, include_input=False)
    return detail["type"] == "json_invalid"


def _read_leniently(body: bytes) -> Any:
    """Return a body that is JSON but for half characters, or numbers of very many digits.

    None of them holds up the other inputs. A text with half of a character is a `BrokenText`.
    """
    try:
        content = json.loads(body, parse_constant=_refuse_constant, parse_int=_read_int)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, dict) and isinstance(content.get(_INPUTS), list):
        content[_INPUTS] = [_mark_broken(each) for each in content[_INPUTS]]
    return content


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _read_int(digits: str) -> int:
    # Python reads no number of thousands of digits; to a model its first ones are too many.
    return int(digits if len(digits) <= _MOST_DIGITS else digits[:_MOST_DIGITS])


def _mark_broken(found: Any) -> Any:
    if isinstance(found, str):
        try:
            found.encode()
        except UnicodeEncodeError:
            return BrokenText(found)
    return found


def _complaint(schema: type[BaseModel], detail: ErrorDetails) -> ApiError:
    if detail["type"] == "json_invalid":
        return ApiError(400, "malformed_json", f"The body is not valid JSON: {detail['msg']}.")
    field = _field(detail["loc"])
    code, message = _sentence(schema, detail)
    return ApiError(422, code, f"{field or 'The body'} {message}.", field=field)


def _sentence(schema: type[BaseModel], detail: ErrorDetails) -> tuple[str, str]:
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
    return known.get(kind, ("wrong_value", f"is wrong: {detail['msg']}"))


def _field(location: Sequence[str | int]) -> str | None:
    """Return a place in the body as one would write it."""
    if not location:
        return None
    shown = ".".join(map(str, location))
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
