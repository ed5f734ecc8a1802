"""How documents are divided: holdout and training, validation, and labels with few documents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from perennial.schema import Schema

SplitBy = Literal["content", "document", "group", "time"]
NearCopies = Literal["together", "ignore"]
RareLabelPolicy = Literal["drop", "merge", "refuse"]

# A name or a path such as ``parent.id``, as MongoDB reads it.
_PATH = r"^[^.$][^.]*(\.[^.$][^.]*)*$"


def _at_midnight(value: Any) -> Any:
    """Return a date as the time at which it begins; YAML reads ``2026-01-01`` as a date."""
    if isinstance(value, str) and len(value) == len("2026-01-01"):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, datetime) or not isinstance(value, date):
        return value
    return datetime(value.year, value.month, value.day, tzinfo=UTC)


def _in_utc(value: datetime) -> datetime:
    """Return a time in UTC, which is meant where nothing else is said."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_Time = Annotated[datetime, BeforeValidator(_at_midnight), AfterValidator(_in_utc)]


class Split(Schema):
    """The part ``split:`` of a problem's file: which documents are the holdout.

    All copies of an input are on one side; by document, equal records are different cases. Every
    label with documents enough has some on both sides.
    """

    by: SplitBy = Field(
        default="content",
        description="content: a hash of the input decides; document: of records, a hash of the "
        "_id; group: a hash of a field's value; time: the newest documents are the holdout",
    )
    field: str | None = Field(
        default=None,
        pattern=_PATH,
        max_length=200,
        description="by group: the field whose value a group has in common, or a path such as "
        "parent.id; a document without it is a group of its own",
    )
    since: _Time | None = Field(
        default=None,
        description="by time: the holdout is what was created after this, whatever its share",
    )

    near_copies: NearCopies = Field(
        default="together",
        description="together: texts that are nearly the same are on one side; ignore: they are "
        "documents like any others, for texts that are all made from a few templates",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_key(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise PydanticCustomError("short", f"write split: {{by: {value}}}")
        return value

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if self.by == "group" and self.field is None:
            raise PydanticCustomError("field", "write split: {by: group, field: NAME}")
        if self.by != "group" and self.field is not None:
            raise PydanticCustomError("field", "field is for by: group; remove it")
        if self.by != "time" and self.since is not None:
            raise PydanticCustomError("since", "since is for by: time; remove it")
        return self


class Validation(Schema):
    """A share of the training documents, or folds of them when there are few.

    In a file a bare number is the share: ``validation: 0.1`` or ``validation: {folds: 5}``.
    """

    share: float | None = Field(default=None, gt=0, lt=1)
    folds: int | None = Field(
        default=None,
        ge=2,
        le=100,
        description="every document is predicted once, by cross-validation",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_number(cls, value: Any) -> Any:
        return value if isinstance(value, dict | Validation) else {"share": value}

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.share is None) == (self.folds is None):
            raise ValueError("give either a share or a number of folds")
        return self


class RareLabels(Schema):
    """The part ``rare_labels:`` of a problem's file: labels with fewer documents than a number.

    Documents that may not be judged on do not count, so that nobody who can only call the service
    decides which labels a model knows.
    """

    below: int = Field(
        ge=2, le=1_000_000, description="labels with fewer documents than this are rare"
    )
    do: RareLabelPolicy = Field(
        description="drop: their documents are left out; merge: they become one label; refuse: "
        "the retraining ends"
    )
    into: str | None = Field(
        default=None,
        min_length=1,
        description="of merge: the label that they become, one of the file or another one",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_key(cls, value: Any) -> Any:
        if isinstance(value, str | int):
            raise PydanticCustomError("short", "write rare_labels: {below: 10, do: drop}")
        return value

    @model_validator(mode="after")
    def _has_a_name_for_the_rest(self) -> Self:
        if self.do == "merge" and self.into is None:
            raise PydanticCustomError(
                "into", "write rare_labels: {below: N, do: merge, into: other}"
            )
        if self.do != "merge" and self.into is not None:
            raise PydanticCustomError("into", "into is for do: merge; remove it")
        return self

    def added_labels(self, labels: tuple[str, ...]) -> Iterator[str]:
        """Yield the label that rare ones become, if the file does not have it."""
        if self.into is not None and self.into not in labels:
            yield self.into
