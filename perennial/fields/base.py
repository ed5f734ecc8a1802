"""The interface of a kind of field."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from perennial.reasons import ReasonCode, WrongValueError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

# A value of a record; None where it is missing.
Value = float | str | bool | list[str] | None
Encoding = Literal["numbers", "category", "text", "words"]

# What models compute with: trees and boosted ones keep numbers in 32 bits.
LARGEST = 3.4028234663852886e38

# How files write that there is no value, in small letters.
NO_VALUE = frozenset({"", "?", "-", "na", "n/a", "nan", "null", "none"})

_WORDS: Mapping[str, str] = {
    "str": "a text",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "Int64": "a number",
    "Decimal": "a number",
    "Decimal128": "a number",
    "dict": "an object",
    "list": "a list",
    "NoneType": "null",
    "datetime": "a date",
    "date": "a date",
    "DatetimeMS": "a date beyond the years 1 to 9999",
    "Timestamp": "a timestamp of MongoDB's log",
    "bytes": "binary data",
    "Binary": "binary data",
    "UUID": "a UUID",
    "ObjectId": "an ObjectId",
    "Regex": "a regular expression",
    "Pattern": "a regular expression",
    "Code": "a script",
    "DBRef": "a reference",
    "MinKey": "MinKey",
    "MaxKey": "MaxKey",
}


class Kind(ABC):
    """One kind of field, of which there is one instance, ``KIND`` in its module.

    Attributes
    ----------
    name : str
        Name in a problem's file, the same as that of the module.
    position : int
        Place among the kinds in messages and in the description of the API.
    encoding : {"numbers", "category", "text", "words"}
        How a model gets the values: as numbers, or by the encoder of that name.
    parts : tuple of str
        The names of the numbers, if a value gives several.
    is_continuous : bool
        Whether the values are quantities, which are drawn against each other.
    """

    name: ClassVar[str]
    position: ClassVar[int]
    encoding: ClassVar[Encoding] = "numbers"
    parts: ClassVar[tuple[str, ...]] = ()
    is_continuous: ClassVar[bool] = False

    @abstractmethod
    def check(self, value: Any) -> Value:
        """Return a value as it is stored; equal values become the same value.

        Raises
        ------
        ValueError
            If the value is not of this kind. The message is a predicate of the field, such as
            "is a text, not a number"; a `WrongValueError` says by its code what else is wrong.
        """

    def is_missing(self, value: Any) -> bool:
        """Return whether a value says that there is none: null, NaN, or a blank text."""
        if isinstance(value, str):
            return not value.strip()
        return value is None or is_nan(plain(value))

    def from_file(self, value: Any) -> Any:
        """Return a value of a file as a document has it: None if it says that there is none.

        A text that means no value of this kind stays as it is, so that its document goes to
        quarantine by itself.

        Raises
        ------
        ValueError
            If it may mean two things. The message is a predicate of the column.
        """
        return value

    @abstractmethod
    def arrow_type(self) -> pa.DataType:
        """Return the type of the field in a snapshot."""

    def to_column(self, values: Sequence[Any]) -> NDArray[Any]:
        """Return checked values as the column that is encoded.

        Returns
        -------
        ndarray
            Numbers as float64, NaN where they are missing, shape (n_values,) or
            (n_values, n_parts); all else as objects, an empty text where they are missing.
        """
        import numpy as np

        if self.encoding == "numbers":
            return np.asarray(values, np.float64)
        return np.fromiter(
            ("" if value is None else value for value in values), np.object_, len(values)
        )


def describe(value: object) -> str:
    """Return the type of a value in words, as a noun with its article."""
    name = type(value).__name__
    return _WORDS.get(name, name)


def is_text(value: object) -> bool:
    """Return whether a value is a text; a script of MongoDB's is none, though Python's is."""
    return isinstance(value, str) and not _is_from_mongodb(value)


def checked_text(value: Any, *, longest: int) -> str:
    """Return a value if it is a text that can be stored.

    Raises
    ------
    WrongValueError
        If it is no text, or one that is empty, longer than `longest` characters or not valid UTF-8.
    """
    if not is_text(value):
        raise WrongValueError(ReasonCode.WRONG_TYPE, f"is {describe(value)}, not a text")
    if not value:
        raise WrongValueError(ReasonCode.EMPTY)
    if len(value) > longest:
        why = f"has {len(value):,} characters, more than {longest:,}"
        raise WrongValueError(ReasonCode.TOO_LONG, why)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise WrongValueError(ReasonCode.NOT_UTF8) from None
    text: str = value
    return text


def plain(value: Any) -> Any:
    """Return a value as Python has it, if MongoDB has a type of its own for what it means.

    A decimal number is a number, and an ObjectId the text by which people and JSON write it.
    """
    if _is_from_mongodb(value):
        name = type(value).__name__
        if name == "Decimal128":
            decimal = value.to_decimal()
            # Python refuses to compare or convert those that signal.
            return math.nan if decimal.is_nan() else decimal
        if name == "ObjectId":
            return str(value)
    return value


def is_missing(value: Any) -> bool:
    """Return whether a value of a file says that there is none: null, NaN, or a word for it."""
    if isinstance(value, str):
        return value.strip().lower() in NO_VALUE
    return value is None or is_nan(value)


def is_nan(value: Any) -> bool:
    """Return whether a value is the number that is none."""
    return (isinstance(value, float) and math.isnan(value)) or (
        isinstance(value, Decimal) and value.is_nan()
    )


def _is_from_mongodb(value: object) -> bool:
    # By name: a problem's file is checked, and a request answered, without the driver.
    return type(value).__module__.startswith("bson.")
