"""The file of behavioural cases that ``gates.cases`` names: what a model must get right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from perennial.schema import Name, Schema

# What `load_problem` gives to the validation: the labels of the problem.
LABELS = "labels"

# What a model is asked about: a text, or the fields of an object.
Input = Annotated[str, Field(min_length=1)] | dict[str, Any]


def _known(label: str, info: ValidationInfo) -> str:
    labels = (info.context or {}).get(LABELS, (label,))
    if label not in labels:
        allowed = " or ".join(map(repr, labels))
        raise PydanticCustomError("label", "input should be {allowed}", {"allowed": allowed})
    return label


Label = Annotated[str, AfterValidator(_known)]


class MinimumFunction(Schema):
    """An input whose label is beyond doubt."""

    input: Input
    label: Label


class Invariance(Schema):
    """A change that must not matter: the label stays."""

    input: Input
    changed: Input
    tolerance: float | None = Field(
        default=None, ge=0, le=1, description="how far a probability may move, too"
    )


class Direction(Schema):
    """A change that must move the probability of a label."""

    input: Input
    changed: Input
    label: Label
    rises: float = Field(
        ge=-1, le=1, description="at least by this; -0.05: it falls by no more than 0.05"
    )


class Group(Schema):
    """Cases about one ability."""

    pass_rate: float = Field(
        default=1.0, gt=0, le=1, description="the least share of its cases that must pass"
    )
    minimum_function: tuple[MinimumFunction, ...] = ()
    invariance: tuple[Invariance, ...] = ()
    direction: tuple[Direction, ...] = ()

    def __len__(self) -> int:
        return len(self.minimum_function) + len(self.invariance) + len(self.direction)


class CaseFile(Schema):
    """A file of behavioural cases."""

    groups: dict[Name, Group] = Field(min_length=1)

    @property
    def inputs(self) -> list[Any]:
        """Everything a model is asked, in the order in which `judge` takes the answers."""
        return list(_inputs(self))


def _inputs(cases: CaseFile) -> Iterator[Any]:
    for group in cases.groups.values():
        yield from (case.input for case in group.minimum_function)
        pairs: tuple[Invariance | Direction, ...] = (*group.invariance, *group.direction)
        for pair in pairs:
            yield from (pair.input, pair.changed)
