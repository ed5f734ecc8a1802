"""MLflow's scoring protocol: ``POST /invocations``, as ``mlflow models serve`` and SageMaker do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.api.classify import Classify
from serving.api.errors import ApiError
from serving.api.protocols.open_inference import TEXT
from serving.api.wire.answers import json_answer
from serving.api.wire.parsing import parse
from serving.models.store import ModelStore

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitFrame(_Message):
    """A table by rows, with the names of its columns."""

    columns: list[str] = Field(min_length=1, description="their names")
    data: list[list[Any]] = Field(description="the rows, each with a value for each column")
    index: list[Any] | None = Field(default=None, description="is not used")


class InvocationParameters(_Message):
    """What MLflow passes on to a model."""

    model: str | None = Field(
        default=None, max_length=200, description="name of the problem; see POST /classify"
    )
    predict_method: Literal["predict", "predict_proba"] = Field(
        default="predict",
        description="labels, or the probabilities of each class in the order of /models; default "
        "predict",
    )


class InvocationRequest(_Message):
    """Inputs to classify, in one of MLflow's four forms."""

    dataframe_split: SplitFrame | None = Field(default=None, description="a table by rows")
    dataframe_records: list[dict[str, Any]] | None = Field(
        default=None, description="rows, each by the names of its columns"
    )
    instances: list[Any] | None = Field(
        default=None, description="texts, or objects of a column of texts or of fields"
    )
    inputs: list[Any] | dict[str, list[Any]] | None = Field(
        default=None, description="as instances, or each column with its values"
    )
    params: InvocationParameters | None = Field(default=None, description="what else is asked for")


class InvocationAnswer(_Message):
    """The predictions, in the order of the inputs."""

    predictions: list[str | list[float] | None] = Field(
        description="labels, null where none is given, or probabilities"
    )


class Pong(_Message):
    """Whether there is a model."""

    ready: bool = Field(description="whether a model is loaded")


class MlflowScoring:
    """The routes of the protocol.

    Parameters
    ----------
    classify : Classify
        Answers.
    store : ModelStore
        Models in memory.
    """

    def __init__(self, classify: Classify, store: ModelStore) -> None:
        self._classify, self._store = classify, store

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/invocations", self._invoke, methods=["POST"]),
            Route("/ping", self._ping),
        ]

    async def _invoke(self, request: Request) -> Response:
        headers = dict(request.scope["headers"])
        asked = parse(InvocationRequest, await self._classify.read(headers, request.receive))
        given = asked.params or InvocationParameters()
        served = self._classify.served(given.model)
        form, rows = _rows(asked)
        if served.production.fields is None:
            rows = [_text(row, f"{form}[{position}]") for position, row in enumerate(rows)]
        answered = await self._classify.answer_all(served, rows, request.scope)
        answer = answered.answer
        predictions: Sequence[Any] = answer.given
        if given.predict_method == "predict_proba":
            predictions = answer.probabilities.tolist()
        return json_answer(200, orjson.dumps({"predictions": predictions}))

    async def _ping(self, _: Request) -> Response:
        is_ready = bool(self._store.served)
        content = Pong(ready=is_ready).model_dump_json().encode()
        return json_answer(200 if is_ready else 503, content)


def _rows(asked: InvocationRequest) -> tuple[str, list[Any]]:
    """Return which form a request has, and its inputs.

    Raises
    ------
    ApiError
        422 if it has none of the forms or several, or rows of other lengths than its columns.
    """
    given = [name for name in _FORMS if getattr(asked, name) is not None]
    if len(given) != 1:
        raise _wrong(f"The body must have exactly one of {', '.join(_FORMS)}.")
    (form,) = given
    if asked.dataframe_split is not None:
        columns = asked.dataframe_split.columns
        rows: list[Any] = asked.dataframe_split.data
        for position, row in enumerate(rows):
            if len(row) != len(columns):
                place = f"{form}.data[{position}]"
                message = f"{place} has {len(row):,} values for {len(columns):,} columns."
                raise _wrong(message, place)
        return form, [dict(zip(columns, row, strict=True)) for row in rows]
    found = getattr(asked, form)
    if isinstance(found, Mapping):
        if len({len(column) for column in found.values()}) > 1:
            raise _wrong("The columns of inputs have different numbers of values.", "inputs")
        columns = list(found)
        values = zip(*found.values(), strict=True)
        return form, [dict(zip(columns, row, strict=True)) for row in values]
    return form, found


def _text(row: Any, place: str) -> Any:
    """Return the text of a row: itself, that of its only column, or that of the column text."""
    if isinstance(row, Mapping):
        if len(row) == 1:
            return next(iter(row.values()))
        if TEXT not in row:
            raise _wrong(f"{place} must have one column, or one of the name {TEXT}.", place)
        return row[TEXT]
    if isinstance(row, list) and len(row) == 1:
        return row[0]
    return row


def _wrong(message: str, field: str | None = None) -> ApiError:
    return ApiError(422, "wrong_value", message, field=field)
