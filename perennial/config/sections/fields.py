"""The schema of ``inputs:``: the fields of the records of a problem."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from perennial.config.errors import CrossReferenceError
from perennial.fields import FieldKind
from perennial.schema import Schema


class FieldSpec(Schema):
    """A field of a record. One that need not be there is written as its kind alone."""

    kind: FieldKind
    required: bool = Field(
        default=False, description="refuse records without a value, instead of learning from them"
    )
    decimal: Literal[".", ","] = Field(
        default=".", description="the decimal mark of numbers that files write as texts"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_kind(cls, given: Any) -> Any:
        return {"kind": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _marks_numbers(self) -> Self:
        if self.decimal != "." and self.kind != "number":
            problem = f"is {self.decimal!r} for a {self.kind}"
            raise CrossReferenceError(("decimal",), problem, "only a number has a decimal mark")
        return self

    @model_serializer(mode="wrap")
    def _to_kind(self, written: SerializerFunctionWrapHandler) -> Any:
        # What decides whether a problem has changed is the shortest way to say it.
        return written(self) if self.required or self.decimal != "." else self.kind
