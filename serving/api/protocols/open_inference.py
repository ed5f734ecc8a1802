"""The open inference protocol, version 2, as KServe and Triton speak it, without binary tensors.

A text is one element of the tensor ``text``; a record is one element of a tensor for each field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perennial import __version__
from serving.api.classify import Answered, Classify
from serving.api.errors import ApiError
from serving.api.wire.answers import INFERENCE, json_answer
from serving.api.wire.parsing import parse
from serving.models.loaded import Loaded, Served
from serving.models.store import ModelStore

TEXT = "text"
PLATFORM = "perennial"
_MOST_TENSORS = 10_000
# What JSON has for a kind of field, as the protocol names it; all others are texts.
_DATATYPES = {"number": "FP64", "boolean": "BOOL"}
_BYTES = "BYTES"


class _Message(BaseModel):
    """A part of the protocol, which lets clients add to it."""

    model_config = ConfigDict(frozen=True)


class TensorMetadata(_Message):
    """A tensor that a model takes or gives."""

    name: str = Field(description="text, or a field; of what it gives, see OutputTensor")
    datatype: str = Field(description="as the protocol names it: BYTES, BOOL, FP64")
    shape: list[int] = Field(description="-1 for any number of inputs")


class InputTensor(_Message):
    """The texts, or the values of one field, of all inputs."""

    name: str = Field(description="text, or the name of a field")
    datatype: str = Field(description="BYTES for texts; BOOL, FP64, INT64 and others for fields")
    shape: list[int] = Field(min_length=1, max_length=2, description="[n] or [n, 1]")
    data: list[Any] = Field(description="one value for each input")
    parameters: dict[str, Any] | None = Field(default=None, description="are not used")


class RequestedOutput(_Message):
    """A tensor that the answer is to have."""

    name: str = Field(description="see OutputTensor")
    parameters: dict[str, Any] | None = Field(default=None, description="are not used")


class InferenceRequest(_Message):
    """Inputs to classify, as tensors."""

    id: str | None = Field(default=None, max_length=200, description="is in the answer, too")
    inputs: list[InputTensor] = Field(
        min_length=1, max_length=_MOST_TENSORS, description="text, or one tensor for each field"
    )
    outputs: list[RequestedOutput] | None = Field(
        default=None, description="which tensors to answer with; default all"
    )
    parameters: dict[str, Any] | None = Field(default=None, description="are not used")


class OutputTensor(_Message):
    """One thing that is said about each input."""

    name: str = Field(description="label, probabilities, known or prediction_id")
    datatype: str = Field(description="BYTES or FP64")
    shape: list[int] = Field(description="[n], of probabilities [n, number of classes]")
    parameters: dict[str, Any] | None = Field(
        default=None, description="classes: the labels, in the order of the probabilities"
    )
    data: list[str | float] = Field(description="row by row; an empty label is none")


class InferenceAnswer(_Message):
    """The predictions, as tensors."""

    model_name: str = Field(description="name of the problem")
    model_version: str = Field(description="number of the version that answered")
    id: str | None = Field(default=None, description="that of the request")
    outputs: list[OutputTensor] = Field(description="what was asked for, or all")


class InferenceModel(_Message):
    """What a model takes and gives."""

    name: str = Field(description="name of the problem")
    versions: list[str] = Field(description="the versions that are in memory, Production first")
    platform: str = Field(description="always perennial")
    inputs: list[TensorMetadata] = Field(description="text, or one tensor for each field")
    outputs: list[TensorMetadata] = Field(description="what can be asked for")


class InferenceServer(_Message):
    """What answers."""

    name: str = Field(description="of the software")
    version: str = Field(description="of the software")
    extensions: list[str] = Field(description="of the protocol; there are none")


class InferenceLive(_Message):
    """Whether the worker runs."""

    live: bool = Field(description="always true")


class InferenceReady(_Message):
    """Whether there is a model."""

    ready: bool = Field(description="whether a model is loaded")


class InferenceModelReady(_Message):
    """Whether a model answers."""

    name: str = Field(description="name of the problem")
    ready: bool = Field(description="always true: what is not loaded is answered 404")


class InferenceError(_Message):
    """The answer to a request that fails."""

    error: str = Field(description="one sentence for people")


class OpenInference:
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
        """Return the routes, each model's with and without a version."""
        routes = [
            Route(INFERENCE, self._server),
            Route(f"{INFERENCE}/health/live", self._live),
            Route(f"{INFERENCE}/health/ready", self._ready),
        ]
        for place in ("{model}", "{model}/versions/{version}"):
            path = f"{INFERENCE}/models/{place}"
            routes += [
                Route(path, self._model),
                Route(f"{path}/ready", self._model_ready),
                Route(f"{path}/infer", self._infer, methods=["POST"]),
            ]
        return routes

    async def _server(self, _: Request) -> Response:
        return _answer(InferenceServer(name=PLATFORM, version=__version__, extensions=[]))

    async def _live(self, _: Request) -> Response:
        return _answer(InferenceLive(live=True))

    async def _ready(self, _: Request) -> Response:
        is_ready = bool(self._store.served)
        return _answer(InferenceReady(ready=is_ready), 200 if is_ready else 503)

    async def _model(self, request: Request) -> Response:
        served, loaded = self._find(request)
        return _answer(_metadata(served, loaded))

    async def _model_ready(self, request: Request) -> Response:
        served, _ = self._find(request)
        return _answer(InferenceModelReady(name=served.problem, ready=True))

    async def _infer(self, request: Request) -> Response:
        headers = dict(request.scope["headers"])
        asked = parse(InferenceRequest, await self._classify.read(headers, request.receive))
        served, loaded = self._find(request)
        pinned = loaded if "version" in request.path_params else None
        inputs = _inputs(asked.inputs, loaded)
        answered = await self._classify.answer_all(served, inputs, request.scope, pinned)
        outputs = _outputs(answered, [each.name for each in asked.outputs or ()])
        number = answered.answer.version.version
        body: dict[str, Any] = {"model_name": served.problem, "model_version": str(number)}
        if asked.id is not None:
            body["id"] = asked.id
        return json_answer(200, orjson.dumps({**body, "outputs": outputs}))

    def _find(self, request: Request) -> tuple[Served, Loaded]:
        """Return the model that a path names, and its version: Production without one."""
        served = self._classify.served(request.path_params["model"])
        version: str | None = request.path_params.get("version")
        if version is None:
            return served, served.production
        loaded = served.find(int(version)) if version.isdecimal() else None
        if loaded is None:
            known = ", ".join(str(each.version.version) for each in served.loaded)
            message = f"This version is not in memory; versions of {served.problem}: {known}."
            raise ApiError(404, "unknown_version", message, field="version")
        return served, loaded


def _answer(message: BaseModel, status: int = 200) -> Response:
    return json_answer(status, message.model_dump_json(exclude_none=True).encode())


def _metadata(served: Served, loaded: Loaded) -> InferenceModel:
    fields = loaded.fields or {TEXT: TEXT}
    count = len(loaded.predictor.classes)
    return InferenceModel(
        name=served.problem,
        versions=[str(each.version.version) for each in served.loaded],
        platform=PLATFORM,
        inputs=[
            TensorMetadata(name=name, datatype=_DATATYPES.get(kind, _BYTES), shape=[-1])
            for name, kind in fields.items()
        ],
        outputs=[
            TensorMetadata(name="label", datatype=_BYTES, shape=[-1]),
            TensorMetadata(name="probabilities", datatype="FP64", shape=[-1, count]),
            TensorMetadata(name="known", datatype="FP64", shape=[-1]),
            TensorMetadata(name="prediction_id", datatype=_BYTES, shape=[-1]),
        ],
    )


def _inputs(tensors: Sequence[InputTensor], loaded: Loaded) -> list[Any]:
    """Return the inputs that are in tensors.

    Raises
    ------
    ApiError
        422 if they are not one value for each input.
    """
    columns = {
        tensor.name: _values(tensor, f"inputs[{position}]")
        for position, tensor in enumerate(tensors)
    }
    if len(columns) < len(tensors):
        raise _wrong("inputs has two tensors of one name.", "inputs")
    if len({len(column) for column in columns.values()}) > 1:
        raise _wrong("The tensors of inputs have different numbers of values.", "inputs")
    if loaded.fields is None:
        if len(tensors) > 1:
            message = f"A model of texts takes one tensor, {TEXT}, of datatype {_BYTES}."
            raise _wrong(message, "inputs")
        (texts,) = columns.values()
        return texts
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _values(tensor: InputTensor, place: str) -> list[Any]:
    """Return the values of a tensor, one for each input."""
    values, count = tensor.data, math.prod(tensor.shape)
    is_column = len(tensor.shape) > 1
    if is_column and all(isinstance(row, list) and len(row) == 1 for row in values):
        values = [row[0] for row in values]
    if len(values) != count or (is_column and tensor.shape[1] != 1):
        message = (
            f"{place}.shape must be [n] or [n, 1] for the n values of data, of which there are "
            f"{len(values):,}."
        )
        raise _wrong(message, f"{place}.shape")
    return values


def _outputs(answered: Answered, wanted: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return what is said about each input as tensors: those that are wanted, or all."""
    answer = answered.answer
    count, classes = len(answered.ids), list(answer.classes)
    outputs: dict[str, Mapping[str, Any]] = {
        "label": {
            "name": "label",
            "datatype": _BYTES,
            "shape": [count],
            "data": [label or "" for label in answer.given],
        },
        "probabilities": {
            "name": "probabilities",
            "datatype": "FP64",
            "shape": [count, len(classes)],
            "parameters": {"classes": classes},
            "data": answer.probabilities.ravel().tolist(),
        },
        "known": {
            "name": "known",
            "datatype": "FP64",
            "shape": [count],
            "data": list(answer.known),
        },
        "prediction_id": {
            "name": "prediction_id",
            "datatype": _BYTES,
            "shape": [count],
            "data": answered.ids,
        },
    }
    for position, name in enumerate(wanted):
        if name not in outputs:
            message = f"outputs[{position}].name must be one of {', '.join(outputs)}."
            raise _wrong(message, f"outputs[{position}].name")
    return [outputs[name] for name in dict.fromkeys(wanted or outputs)]


def _wrong(message: str, field: str) -> ApiError:
    return ApiError(422, "wrong_value", message, field=field)
