"""The schema of ``inputs:``: the fields of the records of a problem."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from perennial.fields import FieldKind
from perennial.schema import Schema


class FieldSpec(Schema):
    """A field of a record. One that need not be there is written as its kind alone."""

    kind: FieldKind
    required: bool = Field(
        default=False, description="refuse records without a value, instead of learning from them"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_kind(cls, given: Any) -> Any:
        return {"kind": given} if isinstance(given, str) else given

    @model_serializer(mode="wrap")
    def _to_kind(self, written: SerializerFunctionWrapHandler) -> Any:
        # What decides whether a problem has changed is the shortest way to say it.
        return written(self) if self.required else self.kind
