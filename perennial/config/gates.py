"""The part ``gates:`` of a problem's file: what a challenger must show before it is Production."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from perennial.config.cases import CaseFile
from perennial.metrics import MetricName
from perennial.schema import Schema, Share

Promotion = Literal["auto", "approve", "never"]
# What `load_problem` gives to the validation: a function from a file's name to its cases.
READ_CASES = "read_cases"


def _rising(edges: int | tuple[int, ...]) -> int | tuple[int, ...]:
    if isinstance(edges, tuple) and any(low >= high for low, high in pairwise(edges)):
        raise PydanticCustomError("rising", "numbers of characters should rise")
    return edges


def _read(value: Any, info: ValidationInfo) -> Any:
    read = (info.context or {}).get(READ_CASES)
    return read(value) if isinstance(value, str) and read else value


Quantiles = Annotated[int, Field(ge=2, le=20)]
Edges = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class Slices(Schema):
    """Parts of the holdout on which the challenger may not be worse than Production."""

    margin: Share = Field(description="by how much a slice may be worse, in the problem's metric")
    min_documents: int = Field(
        default=100, ge=1, description="smaller slices are named, but not judged"
    )
    source: bool = Field(default=False, description="one slice for each source of documents")
    fields: tuple[str, ...] = Field(
        default=(), description="further fields of a document: one slice for each value"
    )
    text_length: Annotated[Quantiles | Edges | None, AfterValidator(_rising)] = Field(
        default=None,
        description="so many slices of equal size, or the numbers of characters where they begin",
    )


class Latency(Schema):
    """How long the model may take for one document."""

    milliseconds: float = Field(gt=0, description="of which 99 of 100 documents stay below")


class Size(Schema):
    """How large the registered file of the model may be."""

    megabytes: float = Field(gt=0, description="of 1,000,000 bytes")


class NotWorse(Schema):
    """What suffices for a challenger that has seen newer documents than Production."""

    margin: Share = Field(description="its confidence interval lies above minus this")


class Gates(Schema):
    """What a challenger must show before it becomes Production."""

    floors: dict[MetricName, float] = Field(
        default={}, description="the least value of a metric; the most for log_loss, brier and cost"
    )
    confidence: Share = Field(
        default=0.95, description="of the interval of the difference to Production"
    )
    not_worse: NotWorse | None = Field(
        default=None, description="newer documents are a reason to promote; absent: be better"
    )
    slices: Slices | None = None
    cases: Annotated[CaseFile | None, BeforeValidator(_read)] = Field(
        default=None, description="a file beside the problem's with behavioural cases"
    )
    latency: Latency | None = None
    size: Size | None = None
    promotion: Promotion = Field(
        default="auto", description="when every gate is passed: promote, ask a person, or neither"
    )
    answer_within: timedelta = Field(
        default=timedelta(days=1),
        gt=timedelta(0),
        le=timedelta(days=3650),
        description="how long a person may answer promotion: approve; silence is a no",
    )
