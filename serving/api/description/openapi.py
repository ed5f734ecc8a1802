"""The description of the API as OpenAPI 3.1, in a form that generators of clients read well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import orjson
from pydantic import BaseModel

from perennial import __version__
from perennial.settings import ServingSettings
from serving.api.auth import ApiKeys
from serving.api.description.operations import TAGS, Operation, operations
from serving.api.description.schemas import REFERENCE, schemas
from serving.api.protocols.open_inference import InferenceError
from serving.api.schemas import ErrorAnswer, ProblemAnswer
from serving.api.wire.answers import PROBLEM

VERSION = "/v1"
_JSON = "application/json"
_ERRORS = {
    400: ("BadRequest", "The body is not valid JSON, or not what its Content-Encoding says."),
    401: ("Unauthorized", "The API key is missing or wrong."),
    403: ("Forbidden", "The API key lacks the scope that this needs, or has it for other models."),
    404: ("NotFound", "The model is not served, or the prediction was never made."),
    405: ("WrongMethod", "The path takes another method, which Allow names."),
    408: ("TooSlow", "The head or the body did not arrive in time."),
    410: ("Gone", "The prediction is not in the log, so feedback on it cannot be kept."),
    413: ("TooLarge", "The body is too large, as it is or unpacked."),
    415: ("UnsupportedType", "The body is not declared as JSON, or packed in another way."),
    422: ("WrongValue", "A value is wrong; the answer names it."),
    429: ("TooMuch", "Too many requests or too much work; Retry-After says when to try again."),
    431: ("HeadTooLarge", "The head of the request is too large."),
    500: ("Failed", "The service failed; its log says why, with the id of the request."),
    503: (
        "Unavailable",
        (
            "No model is in Production yet, feedback cannot be stored now, or all connections are "
            "in use; Retry-After says when to try again."
        ),
    ),
}
# What is answered before anybody knows which path is meant.
_BEFORE_ROUTING = (408, 431, 503)
_RETRY = (429, 503)
_HEADERS = {
    "X-Request-Id": ("RequestId", "the id of the request: the one that it has, or one made for it"),
    "Retry-After": ("RetryAfter", "seconds after which to try again"),
    "WWW-Authenticate": ("Authenticate", "how to send a key"),
    "Allow": ("Allow", "the methods that the path takes"),
}
_PARAMETERS = {
    "X-Request-Id": (
        "RequestIdParameter",
        "an id of at most 128 letters, digits and `._:-`; any other is replaced by one of ours",
    ),
    "X-Request-Key": (
        "RequestKeyParameter",
        "requests with the same key are answered by the same version",
    ),
    "traceparent": (
        "TraceparentParameter",
        "the trace that the request belongs to (W3C); what is none is not used",
    ),
}
_PATH_PARAMETERS = {"model": "name of the problem", "version": "number of a version in memory"}
_VERSIONING = (
    "Our own operations stand below `/v1`, and without it as well. A change that breaks clients "
    "makes a `/v2` of them elsewhere, beside this one; answers may get more fields, and errors "
    "more codes, at any time."
)


def openapi(settings: ServingSettings) -> bytes:
    """Return the description as JSON, with the limits of the settings."""
    known = operations(settings)
    paths: dict[str, Any] = {}
    for path, methods in groupby(known, key=lambda each: each.path):
        found = list(methods)
        item: dict[str, Any] = {each.method: _operation(each, settings) for each in found}
        if not found[0].is_versioned:
            item["servers"] = [{"url": "/", "description": "this service"}]
        if parameters := list(_in_path(path)):
            item["parameters"] = parameters
        paths[path] = item
    description = {
        "openapi": "3.1.0",
        "info": {
            "title": "Perennial",
            "version": __version__,
            "summary": "Classifies texts or records of fields with the Production model.",
            "description": "Classifies texts or records of fields with the Production model. "
            + _VERSIONING
            + _limits(settings),
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": VERSION, "description": "this service"}],
        "tags": [{"name": name, "description": said} for name, said in TAGS.items()],
        "security": _security() if settings.api_key_hashes else [],
        "paths": paths,
        "components": {
            "schemas": schemas(list(_models(known))),
            "responses": dict(_responses()),
            "headers": {
                name: {"description": said, "schema": {"type": "string"}}
                for name, said in _HEADERS.values()
            },
            "parameters": {
                name: {
                    "name": header,
                    "in": "header",
                    "description": said,
                    "schema": {"type": "string"},
                }
                for header, (name, said) in _PARAMETERS.items()
            },
            "securitySchemes": {}
            if not _asks_for_keys(settings)
            else {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "an API key in the header Authorization: Bearer KEY",
                },
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-Key",
                    "description": "the same key in a header of its own",
                },
            },
        },
    }
    return orjson.dumps(description)


def _limits(settings: ServingSettings) -> str:
    return (
        f" A request has at most {settings.max_inputs:,} inputs of {settings.max_characters:,} "
        f"characters, a body of {settings.max_body_bytes:,} bytes and a head of "
        f"{settings.max_head_bytes:,}; it is sent within {settings.body_seconds:g} s and worked on "
        f"for {settings.answer_seconds:g} s. Bodies and answers may be packed with gzip."
    )


def _asks_for_keys(settings: ServingSettings) -> bool:
    return bool(settings.api_key_hashes or settings.refresh_token_hash)


def _security() -> list[dict[str, list[str]]]:
    return [{"bearer": []}, {"key": []}]


def _models(known: Sequence[Operation]) -> Iterator[type[BaseModel]]:
    yield from (ErrorAnswer, ProblemAnswer, InferenceError)
    for operation in known:
        for model in (operation.body, operation.answer):
            if isinstance(model, type):
                yield model


def _operation(operation: Operation, settings: ServingSettings) -> dict[str, Any]:
    answers = {str(operation.status): _answer(operation)}
    for status in operation.statuses:
        if status == 503 and operation.not_ready:  # noqa: PLR2004
            answers["503"] = _answer(operation, not_ready=True)
        else:
            answers[str(status)] = _refused(operation, status)
    described: dict[str, Any] = {
        "operationId": operation.operation_id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [
            {"$ref": f"#/components/parameters/{_PARAMETERS[header][0]}"}
            for header in ("X-Request-Id", "traceparent", *operation.headers)
        ],
        "responses": answers,
        "security": _secured(operation, settings),
    }
    if operation.body is not None:
        content = {"schema": _reference(operation.body), "example": example(operation.sent)}
        described["requestBody"] = {"required": True, "content": {_JSON: content}}
    return described


def _secured(operation: Operation, settings: ServingSettings) -> list[dict[str, list[str]]]:
    """Return how a key is sent, if one is asked for."""
    keys = ApiKeys(settings.api_key_hashes)
    asks = {
        None: False,
        "metrics": keys.asks_for("metrics"),
        "refresh": _asks_for_keys(settings),
    }
    asked = asks.get(operation.scope, bool(settings.api_key_hashes))
    return _security() if asked else []


def _answer(operation: Operation, *, not_ready: bool = False) -> dict[str, Any]:
    said = "There is no model yet." if not_ready else f"{operation.summary}."
    headers = _headers(["X-Request-Id"])
    if isinstance(operation.answer, str):
        content: dict[str, Any] = {operation.answer: {"schema": {"type": "string"}}}
        return {"description": said, "headers": headers, "content": content}
    shown: dict[str, Any] = {"schema": _reference(operation.answer)}
    if not not_ready:
        shown["example"] = example(operation.answered)
    return {"description": said, "headers": headers, "content": {_JSON: shown}}


def _refused(operation: Operation, status: int) -> dict[str, str]:
    name, _ = _ERRORS[status]
    prefix = "Inference" if operation.is_open_inference else ""
    return {"$ref": f"#/components/responses/{prefix}{name}"}


def _responses() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each error by its name, in our own form and in that of open inference."""
    own, problem = _reference(ErrorAnswer), _reference(ProblemAnswer)
    inference = _reference(InferenceError)
    for status, (name, said) in _ERRORS.items():
        names = ["X-Request-Id"]
        names += ["Retry-After"] if status in _RETRY else []
        names += {401: ["WWW-Authenticate"], 405: ["Allow"]}.get(status, [])
        base = {"description": said, "headers": _headers(names)}
        yield name, {**base, "content": {_JSON: {"schema": own}, PROBLEM: {"schema": problem}}}
        if status == 410:  # noqa: PLR2004 - that of feedback alone
            continue
        either = {"anyOf": [inference, own]} if status in _BEFORE_ROUTING else inference
        yield f"Inference{name}", {**base, "content": {_JSON: {"schema": either}}}


def _headers(names: Sequence[str]) -> dict[str, Mapping[str, str]]:
    return {name: {"$ref": f"#/components/headers/{_HEADERS[name][0]}"} for name in names}


def _in_path(path: str) -> Iterator[dict[str, Any]]:
    for name, said in _PATH_PARAMETERS.items():
        if f"{{{name}}}" in path:
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "description": said,
                "schema": {"type": "string", "minLength": 1, "maxLength": 200},
            }


def example(shown: BaseModel | None) -> dict[str, Any] | None:
    """Return an example as JSON has it; fields that are optional and not set are left out."""
    return None if shown is None else shown.model_dump(mode="json", exclude_unset=True)


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=model.__name__)}
