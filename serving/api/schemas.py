"""The requests and answers of the API, as types: what is validated is what is documented."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, WithJsonSchema, create_model

from perennial.fields import FieldKind
from perennial.settings import ServingSettings

_LONGEST_NAME = 200
_MOST_FIELDS = 10_000

Alias = Literal["production", "previous", "canary"]
FieldValue = str | bool | int | float | None
# The values are looked at when the model is known: pydantic would list each wrong one, and a
# million of them cost gigabytes.
Fields = Annotated[
    dict[str, Any],
    Field(max_length=_MOST_FIELDS),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"type": ["string", "boolean", "number", "null"]},
            "maxProperties": _MOST_FIELDS,
        }
    ),
]
Input = str | Fields
Name = Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ClassifyRequest(_Schema):
    """What is to be classified."""

    model: Name | None = Field(
        default=None, description="the problem; may be left out when one is served"
    )
    inputs: list[Input] = Field(description="texts; objects for a model of fields")
    explain: bool = Field(default=False, description="say what moved each decision")


def classify_request(settings: ServingSettings) -> type[ClassifyRequest]:
    """Return the schema of a request within the limits of the settings."""
    text = Annotated[str, Field(max_length=settings.max_characters)]
    inputs = Annotated[
        list[text | Fields],
        # The first wrong one is reported: a million complaints would be an attack.
        FailFast(),
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
    """One feature that moved a decision."""

    feature: str = Field(description="a token, two neighbours, or a field")
    contribution: float = Field(description="positive: towards the label that is answered")
    spans: list[tuple[int, int]] = Field(
        description="where it stands in the input, in Unicode code points"
    )


class Prediction(_Schema):
    """The answer for one input."""

    prediction_id: str = Field(description="for POST /feedback")
    label: str
    probabilities: dict[str, float]
    version: int = Field(description="the model version that answered")
    explanation: list[Contribution] | None = None


class ClassifyAnswer(_Schema):
    """The answers, in the order of the inputs."""

    model: str
    predictions: list[Prediction]


class Version(_Schema):
    """A version of a model that an alias names."""

    alias: Alias
    version: int
    since: datetime | None
    loaded: bool = Field(description="whether it is in memory")
    share: float | None = Field(description="of the requests, for a canary")
    metrics: dict[str, float] = Field(description="on the holdout, when it was made")
    threshold: float | None = Field(
        description="probability above which the last class is given, if it was tuned"
    )


class Model(_Schema):
    """A problem that is served."""

    model: str
    kind: Literal["text", "tabular"]
    fields: dict[str, FieldKind] | None = Field(
        description="what an input of a tabular model must have"
    )
    classes: list[str]
    versions: list[Version]


class ModelsAnswer(_Schema):
    """Everything that is served."""

    models: list[Model]


class FeedbackRequest(_Schema):
    """What a prediction should have been."""

    prediction_id: Name
    label: Name


class FeedbackAnswer(_Schema):
    """A feedback that was taken."""

    prediction_id: str
    accepted: bool


class ReadyModel(_Schema):
    """A model that answers."""

    model: str
    version: int
    origin: Literal["registry", "cache"] = Field(
        description="whether the registry named it, or the cache while the registry is away"
    )


class ReadyAnswer(_Schema):
    """Whether requests are answered, and by what."""

    ready: bool
    registry: Literal["answers", "away", "not asked yet"]
    models: list[ReadyModel]


class RefreshAnswer(_Schema):
    """What is in Production after the registry was asked."""

    models: dict[str, int]


class ErrorDetail(_Schema):
    """Why a request was not answered."""

    code: str
    message: str
    field: str | None


class ErrorAnswer(_Schema):
    """The answer to every request that fails."""

    error: ErrorDetail
