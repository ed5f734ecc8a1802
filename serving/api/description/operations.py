"""What the API does: each method of each path, with its schemas, examples and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from perennial.settings import ServingSettings
from serving.api.auth import Scope
from serving.api.description import examples
from serving.api.protocols.mlflow import InvocationAnswer, InvocationRequest, Pong
from serving.api.protocols.open_inference import (
    InferenceAnswer,
    InferenceLive,
    InferenceModel,
    InferenceModelReady,
    InferenceReady,
    InferenceRequest,
    InferenceServer,
)
from serving.api.schemas import (
    ClassifyAnswer,
    FeedbackAnswer,
    FeedbackRequest,
    LiveAnswer,
    ModelsAnswer,
    ReadyAnswer,
    RefreshAnswer,
    classify_request,
)

Tag = Literal["predictions", "models", "operation", "open inference", "mlflow"]
TAGS: dict[Tag, str] = {
    "predictions": "Labels for texts and records, and what people say about them.",
    "models": "What is served.",
    "operation": "For probes, Prometheus and deployments.",
    "open inference": "The open inference protocol, version 2, as KServe and Triton speak it.",
    "mlflow": "MLflow's scoring protocol.",
}

# A head that is too slow or too large, another method, a failure, and no connection or model.
_ALWAYS = (405, 408, 431, 500, 503)
_POSTED = (400, 413, 415, 422, 429)
_KEY = (401, 403)


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes
    ----------
    method, path : str
        The path, without its version.
    operation_id : str
        What generated clients call it.
    summary, description : str
        In a few words, and in sentences.
    tag : str
        What it belongs to.
    answer : type of BaseModel, or str
        Schema of the answer, or a media type without one.
    status : int
        Of success.
    body, sent, answered : type of BaseModel, BaseModel, BaseModel
        Schema of the request, and examples of both.
    errors : sequence of int
        Statuses beside those of every operation.
    scope : str, optional
        What an API key must be allowed.
    headers : sequence of str
        Names of the headers that are read, beside X-Request-Id.
    not_ready : bool
        Whether 503 has the schema of the answer, too.
    is_versioned : bool
        Whether it stands below the version of our own API.
    """

    method: Literal["get", "post"]
    path: str
    operation_id: str
    summary: str
    description: str
    tag: Tag
    answer: type[BaseModel] | str
    status: int = 200
    body: type[BaseModel] | None = None
    sent: BaseModel | None = None
    answered: BaseModel | None = None
    errors: Sequence[int] = field(default=())
    scope: Scope | None = None
    headers: Sequence[str] = field(default=())
    not_ready: bool = False
    is_versioned: bool = True

    @property
    def statuses(self) -> list[int]:
        """Every status of an error, in order."""
        found = {*_ALWAYS, *self.errors}
        if self.method == "post":
            found.add(429)
        if self.body is not None:
            found.update(_POSTED)
        if self.scope is not None:
            found.update(_KEY)
        return sorted(found)

    @property
    def is_open_inference(self) -> bool:
        """Whether its errors have the form of the open inference protocol."""
        return self.tag == "open inference"


def operations(settings: ServingSettings) -> list[Operation]:
    """Return all operations, those that most clients need first."""
    own = [_classify(settings), _FEEDBACK, _MODELS, _REFRESH, _LIVEZ, _READYZ]
    if settings.metrics_port is None:
        own.append(_METRICS)
    return [*own, *_INFERENCE, *_MLFLOW]


def _classify(settings: ServingSettings) -> Operation:
    """Return what depends on the limits, which are part of the schema."""
    request = classify_request(settings)
    return Operation(
        "post",
        "/classify",
        "classify",
        "Classify texts or records of fields with the Production model",
        "Answers with one prediction for each input, in its place. What is wrong with one of "
        "several inputs holds up no other, unless `on_error` is `refuse`.",
        "predictions",
        ClassifyAnswer,
        body=request,
        sent=request(model=examples.MODEL, inputs=[examples.TEXT], explain=False),
        answered=examples.CLASSIFIED,
        errors=(404,),
        scope="classify",
        headers=("X-Request-Key",),
    )


_FEEDBACK = Operation(
    "post",
    "/feedback",
    "sendFeedback",
    "Send the right label of a prediction",
    "Is answered when the label is stored. A later label of the same sender replaces it.",
    "predictions",
    FeedbackAnswer,
    status=202,
    body=FeedbackRequest,
    sent=examples.RIGHT_LABEL,
    answered=examples.RECEIPT,
    errors=(404, 410),
    scope="feedback",
)
_MODELS = Operation(
    "get",
    "/models",
    "listModels",
    "List the models and versions that are served",
    "Says what each model takes, which classes it tells apart, and how good it is.",
    "models",
    ModelsAnswer,
    answered=examples.MODELS,
)
_REFRESH = Operation(
    "post",
    "/refresh",
    "refreshModels",
    "Poll the registry now",
    "Makes every worker of this machine look at the registry at once, not at its next poll.",
    "operation",
    RefreshAnswer,
    answered=examples.REFRESHED,
    scope="refresh",
)
_LIVEZ = Operation(
    "get",
    "/livez",
    "checkLiveness",
    "Check that the worker runs",
    "Asks nobody else.",
    "operation",
    LiveAnswer,
    answered=examples.LIVE,
)
_READYZ = Operation(
    "get",
    "/readyz",
    "checkReadiness",
    "Check that a model is loaded; 503 if none is",
    "Says for each model whether the registry named its version, or the cache.",
    "operation",
    ReadyAnswer,
    answered=examples.READY,
    not_ready=True,
)
_METRICS = Operation(
    "get",
    "/metrics",
    "readMetrics",
    "Metrics for Prometheus; they ask for a key as soon as one names the scope metrics",
    "Counts over all workers, in Prometheus' text format.",
    "operation",
    "text/plain",
    scope="metrics",
)


def _of_models(place: str, suffix: str) -> list[Operation]:
    """Return the operations of the open inference protocol on a model, or on a version of it."""
    path = f"/v2/models/{place}"
    of_version = " of a version" if suffix else ""
    return [
        Operation(
            "get",
            path,
            f"describeInferenceModel{suffix}",
            f"Describe the tensors{of_version} of a model",
            "A text is an element of the tensor `text`; a record one of a tensor for each field.",
            "open inference",
            InferenceModel,
            answered=examples.METADATA,
            errors=(404,),
            is_versioned=False,
        ),
        Operation(
            "get",
            f"{path}/ready",
            f"checkInferenceModel{suffix}",
            f"Check that a model{of_version} answers",
            "Is answered with 404 if it is not served.",
            "open inference",
            InferenceModelReady,
            answered=examples.MODEL_READY,
            errors=(404,),
            is_versioned=False,
        ),
        Operation(
            "post",
            f"{path}/infer",
            f"infer{suffix}",
            f"Classify tensors{of_version} with a model",
            "Answers all inputs, or none if one of them cannot be classified. A label that is not "
            "given is empty.",
            "open inference",
            InferenceAnswer,
            body=InferenceRequest,
            sent=examples.TENSORS,
            answered=examples.INFERRED,
            errors=(404,),
            scope="classify",
            headers=("X-Request-Key",),
            is_versioned=False,
        ),
    ]


_INFERENCE = [
    Operation(
        "get",
        "/v2",
        "describeInferenceServer",
        "Describe the server",
        "Names no extensions: tensors are JSON.",
        "open inference",
        InferenceServer,
        answered=examples.SERVER,
        is_versioned=False,
    ),
    Operation(
        "get",
        "/v2/health/live",
        "checkInferenceLiveness",
        "Check that the server runs",
        "Asks nobody else.",
        "open inference",
        InferenceLive,
        answered=InferenceLive(live=True),
        is_versioned=False,
    ),
    Operation(
        "get",
        "/v2/health/ready",
        "checkInferenceReadiness",
        "Check that the server has a model; 503 if it has none",
        "Says nothing about a particular model.",
        "open inference",
        InferenceReady,
        answered=InferenceReady(ready=True),
        not_ready=True,
        is_versioned=False,
    ),
    *_of_models("{model}", ""),
    *_of_models("{model}/versions/{version}", "Version"),
]
_MLFLOW = [
    Operation(
        "post",
        "/invocations",
        "invoke",
        "Classify what MLflow's clients send",
        "Takes `dataframe_split`, `dataframe_records`, `instances` or `inputs`. Answers all "
        "inputs, or none if one of them cannot be classified.",
        "mlflow",
        InvocationAnswer,
        body=InvocationRequest,
        sent=examples.INVOCATION,
        answered=examples.INVOKED,
        errors=(404,),
        scope="classify",
        headers=("X-Request-Key",),
        is_versioned=False,
    ),
    Operation(
        "get",
        "/ping",
        "ping",
        "Check that there is a model; 503 if there is none",
        "As SageMaker asks.",
        "mlflow",
        Pong,
        answered=examples.PONG,
        not_ready=True,
        is_versioned=False,
    ),
]
