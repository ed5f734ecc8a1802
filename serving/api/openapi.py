"""Description of the API: OpenAPI for programs, and a page for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from perennial import __version__
from perennial.settings import ServingSettings
from serving.api.schemas import (
    ClassifyAnswer,
    ErrorAnswer,
    FeedbackAnswer,
    FeedbackRequest,
    Model,
    ModelsAnswer,
    Prediction,
    ReadyAnswer,
    ReadyModel,
    RefreshAnswer,
    Version,
    classify_request,
)

_REFERENCE = "#/components/schemas/{model}"
_ERRORS = {
    400: "The body is not valid JSON",
    401: "The API key is missing or wrong",
    403: "The API key lacks the scope that this needs",
    404: "The model is not served, or the prediction was never made",
    408: "The body did not arrive in time",
    410: "The prediction is not in the log, so feedback on it cannot be kept",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    422: "A value is wrong; the answer names it",
    429: "Too many requests or too much work; retry after the time in Retry-After",
    503: "No model is in Production yet, or feedback cannot be stored now; Retry-After says when",
}
_ID = "sentiment.3.6b0aaf0109c13e452d9a208700001b3c54e19d02a7f6e00000"
_REQUEST_ID = "5f0c9e5d3c1d4a3a8b52c1f0f3a7d9e1"
_REQUEST_KEY = ("X-Request-Key", "requests with the same key are answered by the same version")
_PREDICTION = Prediction(
    prediction_id=_ID,
    label="positive",
    probabilities={"negative": 0.03, "positive": 0.97},
    version=3,
    known=0.75,
)


@dataclass(frozen=True)
class _Operation:
    """One method of one path."""

    method: str
    path: str
    summary: str
    answer: type[BaseModel] | str
    status: int = 200
    body: type[BaseModel] | None = None
    sent: BaseModel | None = None
    answered: BaseModel | None = None
    errors: Sequence[int] = field(default=())
    secured: bool = False
    parameters: Sequence[tuple[str, str]] = field(default=())


def openapi(settings: ServingSettings) -> bytes:
    """Return the description as JSON, with the limits of the settings."""
    operations = _operations(settings)
    models = {ErrorAnswer: None} | {
        model: None
        for operation in operations
        for model in (operation.body, operation.answer)
        if isinstance(model, type)
    }
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REFERENCE
    )
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _describe(operation)
    description = {
        "openapi": "3.1.0",
        "info": {
            "title": "Perennial",
            "version": __version__,
            "description": "Classifies texts or records of fields with the Production model.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
    return orjson.dumps(description)


_BAD = (400, 401, 403, 408, 413, 415, 422, 429)
_FEEDBACK = _Operation(
    "post",
    "/feedback",
    "Send the right label of a prediction",
    FeedbackAnswer,
    status=202,
    body=FeedbackRequest,
    sent=FeedbackRequest(prediction_id=_ID, label="negative"),
    answered=FeedbackAnswer(prediction_id=_ID, accepted=True, request_id=_REQUEST_ID),
    errors=(*_BAD, 404, 410, 503),
    secured=True,
    parameters=(("X-Request-Id", "kept with the feedback; one is made unless it is given"),),
)
_MODELS = _Operation(
    "get",
    "/models",
    "List the models and versions that are served",
    ModelsAnswer,
    answered=ModelsAnswer(
        models=[
            Model(
                model="sentiment",
                kind="text",
                fields=None,
                required=[],
                classes=["negative", "positive"],
                versions=[
                    Version(
                        alias="production",
                        version=3,
                        since=datetime(2026, 11, 21, 8, tzinfo=UTC),
                        loaded=True,
                        share=None,
                        metrics={"accuracy": 0.91},
                        threshold=None,
                    )
                ],
            )
        ]
    ),
)
_REFRESH = _Operation(
    "post",
    "/refresh",
    "Poll the registry now",
    RefreshAnswer,
    answered=RefreshAnswer(models={"sentiment": 3}),
    errors=(401, 403, 429),
    secured=True,
)
_LIVEZ = _Operation("get", "/livez", "Check that the worker runs", "application/json")
_READYZ = _Operation(
    "get",
    "/readyz",
    "Check that a model is loaded; 503 if none is",
    ReadyAnswer,
    answered=ReadyAnswer(
        ready=True,
        registry="answers",
        models=[ReadyModel(model="sentiment", version=3, origin="registry")],
    ),
)
_METRICS = _Operation(
    "get",
    "/metrics",
    "Metrics for Prometheus; they ask for a key as soon as one names the scope metrics",
    "text/plain",
    errors=(401, 403),
    secured=True,
)


def _operations(settings: ServingSettings) -> list[_Operation]:
    operations = [_classify(settings), _FEEDBACK, _MODELS, _REFRESH, _LIVEZ, _READYZ]
    return operations if settings.metrics_port else [*operations, _METRICS]


def _classify(settings: ServingSettings) -> _Operation:
    """Return what depends on the limits, which are part of the schema."""
    request = classify_request(settings)
    return _Operation(
        "post",
        "/classify",
        "Classify texts or records of fields with the Production model",
        ClassifyAnswer,
        body=request,
        sent=request(model="sentiment", inputs=["A warm, funny film."], explain=False),
        answered=ClassifyAnswer(model="sentiment", predictions=[_PREDICTION]),
        errors=(*_BAD, 404, 503),
        secured=True,
        parameters=(_REQUEST_KEY,),
    )


def _describe(operation: _Operation) -> dict[str, Any]:
    answers = {str(operation.status): _answer(operation)}
    if operation.answer is ReadyAnswer:
        answers["503"] = _answer(operation)
    for status in operation.errors:
        answers[str(status)] = {
            "description": _ERRORS[status],
            "content": {"application/json": {"schema": _reference(ErrorAnswer)}},
        }
    described: dict[str, Any] = {"summary": operation.summary, "responses": answers}
    if operation.body is not None:
        content = {"schema": _reference(operation.body), "example": _example(operation.sent)}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    if operation.parameters:
        described["parameters"] = [
            {
                "name": name,
                "in": "header",
                "schema": {"type": "string"},
                "description": description,
            }
            for name, description in operation.parameters
        ]
    if operation.secured:
        described["security"] = [{}, {"key": []}]
    return described


def _answer(operation: _Operation) -> dict[str, Any]:
    if isinstance(operation.answer, str):
        return {"description": operation.summary, "content": {operation.answer: {}}}
    content = {"schema": _reference(operation.answer), "example": _example(operation.answered)}
    return {"description": operation.summary, "content": {"application/json": content}}


def _example(example: BaseModel | None) -> dict[str, Any] | None:
    """Return an example as JSON has it; fields that are optional and not set are left out."""
    return None if example is None else example.model_dump(mode="json", exclude_unset=True)


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def html(description: bytes) -> bytes:
    """Return the description as a page without scripts."""
    api = orjson.loads(description)
    parts = [
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p>{escape(operation['summary'])}</p>{_examples(operation)}</section>"
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]
    title = escape(api["info"]["title"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{title}: the API</title></head>'
        f"<body><h1>{title}: the API</h1><p>{escape(api['info']['description'])} "
        f'<a href="/openapi.json">OpenAPI</a></p>{"".join(parts)}</body></html>'
    ).encode()


def _examples(operation: dict[str, Any]) -> str:
    found = ""
    sent = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if sent:
        found += _listing("Request", sent["example"])
    for status, answer in operation["responses"].items():
        content = answer.get("content", {}).get("application/json", {})
        if "example" in content:
            found += _listing(f"Answer {status}", content["example"])
        else:
            found += f"<p>{status}: {escape(answer['description'])}</p>"
    return found


def _listing(title: str, example: object) -> str:
    shown = orjson.dumps(example, option=orjson.OPT_INDENT_2).decode()
    return f"<h3>{title}</h3><pre>{escape(shown)}</pre>"
