"""The schema of ``source:``: where the documents of a problem are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import Field, field_serializer, field_validator

from perennial.config.errors import CrossReferenceError
from perennial.query import QueryError, read_query, write_query
from perennial.schema import FieldPath, Schema


class Fields(Schema):
    """Where the fields of a document are: names, or paths such as ``meta.at``."""

    text: FieldPath = "text"
    label: FieldPath = "label"
    created_at: FieldPath = "created_at"
    source: FieldPath = "source"
    updated_at: FieldPath | None = Field(
        default=None,
        description="when a document was changed last: finds edits in collections that are not "
        "compared as a whole",
    )


class Reconcile(Schema):
    """When the whole collection is compared with the last snapshot.

    It is not needed where MongoDB's change stream says what was touched. Otherwise nothing else
    finds deleted documents, and edits without a date.
    """

    up_to: int = Field(
        default=200_000,
        ge=0,
        description="by every retraining, if the collection has at most so many documents",
    )
    every: timedelta = Field(
        default=timedelta(days=7),
        gt=timedelta(0),
        description="at the latest when so much time has passed, whatever the size",
    )


class Source(Schema):
    """Where the documents of a problem are."""

    database: str = Field(min_length=1)
    collection: str = Field(min_length=1)
    query: dict[Any, Any] = Field(default={}, description="a MongoDB filter on the documents")
    fields: Fields = Fields()
    late_window: timedelta = Field(
        default=timedelta(hours=1),
        ge=timedelta(0),
        description="how far behind the newest known document a late one may arrive",
    )
    reconcile: Reconcile = Reconcile()
    dataset: str | None = Field(
        default=None, description="a built-in dataset, which flows.seed loads unless told otherwise"
    )

    @field_validator("query")
    @classmethod
    def _read_query(cls, query: dict[str, Any]) -> dict[str, Any]:
        try:
            return read_query(query) if query else {}
        except QueryError as error:
            location = ("source", "query", *error.location)
            raise CrossReferenceError(location, error.problem, error.remedy) from None

    @field_serializer("query", when_used="json")
    def _write_query(self, query: dict[str, Any]) -> dict[str, Any]:
        return write_query(query) if query else {}
