"""Schemas of the API's requests and answers, for validation and documentation alike."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, WithJsonSchema, create_model

from perennial.config.answering.abstain import Abstention
from perennial.fields import FieldKind
from perennial.settings import ServingSettings

_LONGEST_NAME = 200
_MOST_FIELDS = 10_000

Alias = Literal["production", "previous", "canary"]
OnError = Literal["report", "refuse"]
# Inputs are looked at when the model is known, one by one: what is wrong with one does not concern
# the others, and pydantic would list each wrong value, a million of which cost gigabytes.
Fields = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {
                "type": ["string", "boolean", "number", "null", "object", "array"],
                # Generators of clients ask for it of whatever may be an array.
                "items": {},
            },
            "maxProperties": _MOST_FIELDS,
        }
    ),
]
Input = str | Fields
Name = Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ClassifyRequest(_Schema):
    """Inputs to classify."""

    model: Name | None = Field(
        default=None,
        description="name of the problem; default that of SERVING_DEFAULT_MODEL, else the only one",
    )
    inputs: list[Input] = Field(description="texts, or objects for a tabular model")
    explain: bool = Field(
        default=False, description="whether to explain each prediction; default false"
    )
    on_error: OnError = Field(
        default="report",
        description="what becomes of the other inputs if one cannot be classified: report, they "
        "are answered, and errors says why that one is not; refuse, none is, with status 422; "
        "default report",
    )


def classify_request(settings: ServingSettings) -> type[ClassifyRequest]:
    """Return the schema of a request within the limits of the settings."""
    text = Annotated[str, Field(max_length=settings.max_characters)]
    inputs = Annotated[
        list[Annotated[text | Fields, SkipValidation]],
        Field(
            min_length=1,
            max_length=settings.max_inputs,
            description=ClassifyRequest.model_fields["inputs"].description,
        ),
    ]
    return create_model(
        ClassifyRequest.__name__,
        __base__=ClassifyRequest,
        __doc__=ClassifyRequest.__doc__,
        inputs=(inputs, ...),
    )


class Contribution(_Schema):
    """Contribution of one feature to a prediction."""

    feature: str = Field(description="a token, two neighbouring tokens, or a field")
    contribution: float = Field(
        description="positive if the feature speaks for the predicted label"
    )
    spans: list[tuple[int, int]] = Field(
        description="positions in the input, of a feature that it has often the first 200"
    )


class AnswerWarning(_Schema):
    """What the model could not go by in an input that it answered."""

    code: str = Field(
        description="stable name, for programs: missing for a field without a value, "
        "unknown_category for one that the model does not know, unusual_number for a number far "
        "from those of training, nothing_known for a text of which it knows nothing"
    )
    message: str = Field(description="one sentence for people")
    field: str = Field(description="the input, or the part of it that is meant")


class Prediction(_Schema):
    """The answer for one input."""

    prediction_id: str = Field(description="identifier for POST /feedback")
    label: str | None = Field(
        description="null where the problem asks for no label then; abstained says why"
    )
    probabilities: dict[str, float] = Field(description="of each class")
    version: int = Field(description="number of the model version that answered")
    known: float = Field(
        ge=0,
        le=1,
        description="how much of the input the model knows: the share of the words of a text, or "
        "of the model's fields of a record",
    )
    abstained: Abstention | None = Field(
        default=None,
        description="why there is no label: too little of the input is known, or the probability "
        "is too small; absent if there is one",
    )
    explanation: list[Contribution] | None = Field(
        default=None,
        description="the features that moved the decision most, the largest first; absent unless "
        "explain is set",
    )
    baseline: float | None = Field(
        default=None,
        description="what the explanation starts from: baseline, all contributions and others add "
        "up to the log-odds of the label, of trees and forests to its probability",
    )
    others: float | None = Field(
        default=None, description="sum of the contributions that the explanation leaves out"
    )
    warnings: list[AnswerWarning] | None = Field(
        default=None, description="what the model could not go by; absent if there is nothing"
    )


class InputError(_Schema):
    """One of several inputs that cannot be classified."""

    position: int = Field(description="which of the inputs, from 0")
    code: str = Field(description="stable name of the error, for programs")
    message: str = Field(description="one sentence for people")
    field: str = Field(description="the input, or the part of it that is wrong")


class ClassifyAnswer(_Schema):
    """The answers, one for each input in its place."""

    model: str = Field(description="name of the problem")
    predictions: list[Prediction | None] = Field(
        description="in the order of the inputs; null for one that cannot be classified"
    )
    errors: list[InputError] | None = Field(
        default=None,
        description="what is wrong with each input whose prediction is null; absent if none is",
    )


class Version(_Schema):
    """A version of a model that an alias names."""

    alias: Alias = Field(
        description="production answers, previous is the one before, canary answers a share"
    )
    version: int = Field(description="its number")
    since: datetime | None = Field(description="when it got the alias; null if nothing says so")
    loaded: bool = Field(description="whether it is in memory")
    share: float | None = Field(description="of the requests, for a canary")
    metrics: dict[str, float] = Field(description="on the holdout, when it was made")
    corrected: float | None = Field(
        description="the problem's metric on documents that arrived after it was made, or without "
        "what may be chance because it was chosen on the holdout"
    )
    threshold: float | None = Field(
        description="probability above which the last class is given, if it was tuned"
    )


class FieldValues(_Schema):
    """What a model knows of one field."""

    categories: tuple[str, ...] | None = Field(
        description="of a category, the values that the model tells apart"
    )
    typical: float | None = Field(description="of a number, the median in training")
    low: float | None = Field(
        description="98% of the training documents are between low and high; null in older models"
    )
    high: float | None = Field(description="the upper of both; null in older models")


class Model(_Schema):
    """A problem that is served."""

    model: str = Field(description="name of the problem, which requests send")
    kind: Literal["text", "tabular"] = Field(description="whether it takes texts or records")
    fields: dict[str, FieldKind] | None = Field(
        description="what an input of a tabular model may have"
    )
    required: list[str] = Field(description="the fields that it must have")
    values: dict[str, FieldValues] = Field(
        description="what the model knows of the fields that are categories or numbers; where "
        "keys are asked for, only for who sends one that may classify"
    )
    examples: list[Input] = Field(description="inputs to try, of the problem's file")
    classes: list[str] = Field(
        description="the labels that it tells apart, in the order of columns of probabilities"
    )
    versions: list[Version] = Field(description="its versions in memory, Production first")


class ModelsAnswer(_Schema):
    """Everything that is served."""

    models: list[Model] = Field(description="by name")


class FeedbackRequest(_Schema):
    """Right label of a prediction."""

    prediction_id: Name = Field(description="identifier of a prediction")
    label: Name = Field(description="the right one, of the classes of the model")


class FeedbackAnswer(_Schema):
    """Receipt of a feedback, which is stored."""

    prediction_id: str = Field(description="identifier of the prediction")
    accepted: Literal[True] = Field(description="always true: what is not stored is an error")
    request_id: str = Field(description="X-Request-Id of the request, or one that was made for it")


class LiveAnswer(_Schema):
    """Whether the worker runs."""

    alive: bool = Field(description="always true")


class ReadyModel(_Schema):
    """A model that answers."""

    model: str = Field(description="name of the problem")
    version: int = Field(description="number of the version in Production")
    origin: Literal["registry", "cache"] = Field(
        description="whether the registry named it, or the cache while the registry is away"
    )


class ReadyAnswer(_Schema):
    """Readiness, with the models that answer."""

    ready: bool = Field(description="whether requests are answered")
    registry: Literal["answers", "away", "not asked yet"] = Field(
        description="whether it answered when it was asked last"
    )
    models: list[ReadyModel] = Field(description="by name")


class RefreshAnswer(_Schema):
    """Production versions after the registry was polled."""

    models: dict[str, int] = Field(
        description="number of the version in Production, by name of the problem"
    )


class ErrorDetail(_Schema):
    """Reason why a request failed."""

    code: str = Field(description="stable name of the error, for programs")
    message: str = Field(description="one sentence for people")
    field: str | None = Field(description="part of the request that is wrong, if it is one")


class ErrorAnswer(_Schema):
    """The answer to every request that fails."""

    error: ErrorDetail = Field(description="why the request fails")
    errors: list[InputError] | None = Field(
        default=None,
        description="what is wrong with each input, if there are several and all are wrong",
    )


class ProblemAnswer(_Schema):
    """The answer to a request that fails and accepts application/problem+json (RFC 9457)."""

    type: str = Field(description="about:blank: status and code say all")
    title: str = Field(description="the status in words")
    status: int = Field(description="the status")
    detail: str = Field(description="one sentence for people")
    code: str = Field(description="stable name of the error, for programs")
    field: str | None = Field(description="part of the request that is wrong")
    errors: list[InputError] | None = Field(
        default=None, description="what is wrong with each input; absent unless there are several"
    )
