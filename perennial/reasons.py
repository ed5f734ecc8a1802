"""Reasons why a value cannot be used: a fixed set of codes, and the sentences about them."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Self

_SHOWN = 50


class ReasonCode(StrEnum):
    """What is wrong with a value: a name for programs, which never changes."""

    MISSING = "missing"
    NULL = "null"
    IN_LIST = "in_list"
    WRONG_TYPE = "wrong_type"
    EMPTY = "empty"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    NOT_UTF8 = "not_utf8"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    UNKNOWN_LABEL = "unknown_label"
    UNKNOWN_FIELD = "unknown_field"
    CONFLICTING_LABEL = "conflicting_label"


class WarningCode(StrEnum):
    """What a model could not go by in an input that it answered: a name that never changes."""

    MISSING = "missing"
    UNKNOWN_CATEGORY = "unknown_category"
    UNUSUAL_NUMBER = "unusual_number"
    NOTHING_KNOWN = "nothing_known"


# What may be wrong with an input that somebody sends to the service.
INPUT_CODES = (
    ReasonCode.MISSING,
    ReasonCode.NULL,
    ReasonCode.IN_LIST,
    ReasonCode.WRONG_TYPE,
    ReasonCode.EMPTY,
    ReasonCode.TOO_LONG,
    ReasonCode.NOT_UTF8,
    ReasonCode.NOT_FINITE,
    ReasonCode.OUT_OF_RANGE,
    ReasonCode.UNKNOWN_FIELD,
)

_PREDICATES = {
    ReasonCode.MISSING: "is missing",
    ReasonCode.NULL: "is null",
    ReasonCode.IN_LIST: "lies inside a list, where no path leads",
    ReasonCode.WRONG_TYPE: "is of another type",
    ReasonCode.EMPTY: "is empty",
    ReasonCode.TOO_SHORT: "is too short",
    ReasonCode.TOO_LONG: "is too long",
    ReasonCode.NOT_UTF8: "is not valid UTF-8",
    ReasonCode.NOT_FINITE: "is not a finite number",
    ReasonCode.OUT_OF_RANGE: "is out of range",
    ReasonCode.UNKNOWN_LABEL: "is none of the problem's labels",
    ReasonCode.UNKNOWN_FIELD: "is an unknown field",
    ReasonCode.CONFLICTING_LABEL: "differs from that of a copy",
}


class Reason(NamedTuple):
    """What is wrong with a field, whatever its value: there are few of them to count.

    Attributes
    ----------
    code : ReasonCode
        What is wrong.
    field : str
        The field, as the problem's file names it.
    """

    code: ReasonCode
    field: str

    def __str__(self) -> str:
        """Return a sentence without its full stop."""
        return f"{self.field} {_PREDICATES[self.code]}"

    @property
    def key(self) -> str:
        """The reason as one text, which `parse` reads."""
        return f"{self.code.value} {self.field}"

    @classmethod
    def parse(cls, key: str) -> Self:
        """Return the reason of a key.

        Raises
        ------
        ValueError
            If it is none.
        """
        code, _, field = key.partition(" ")
        return cls(ReasonCode(code), field)


class WrongValueError(ValueError):
    """A value cannot be used: `code` says what is wrong, the message is a predicate of its field.

    Parameters
    ----------
    code : ReasonCode
        What is wrong.
    why : str
        A predicate without the value, such as "is a text, not a number"; that of the code unless
        given.
    """

    def __init__(self, code: ReasonCode, why: str | None = None) -> None:
        super().__init__(why or _PREDICATES[code])
        self.code = code


class UnusableError(Exception):
    """A document that goes to quarantine; the message is a sentence with an example of the value.

    Parameters
    ----------
    code : ReasonCode
        What is wrong.
    field : str
        The field, as the problem's file names it.
    why : str, optional
        A predicate of the field without the value; that of the code unless given.
    value : object, optional
        The value, of which the beginning is shown.

    Attributes
    ----------
    code, field
        As given.
    why : str
        The predicate.
    detail : str
        The beginning of the value; empty where there is none to show.
    """

    def __init__(
        self, code: ReasonCode, field: str, why: str | None = None, *, value: object = None
    ) -> None:
        self.code, self.field, self.why = code, field, why or _PREDICATES[code]
        self.detail = "" if value is None else example_of(value)
        super().__init__(": ".join(filter(None, (f"{field} {self.why}", self.detail))))

    @property
    def reason(self) -> Reason:
        """The code and the field, which are counted."""
        return Reason(self.code, self.field)


def example_of(value: object) -> str:
    """Return the beginning of a value as an example, on one line of valid UTF-8."""
    if isinstance(value, str | bytes):
        # A text of megabytes is not written down to show its beginning.
        value = value[: _SHOWN + 1]
    shown = str(value).lower() if isinstance(value, bool) else _written(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
    return shown.encode("utf-8", "replace").decode()


def _written(value: object) -> str:
    try:
        return repr(value)
    except (ValueError, OverflowError):
        # A whole number of thousands of digits is one that Python does not write.
        return f"{type(value).__name__} that cannot be shown"
