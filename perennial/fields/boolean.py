"""Booleans: true or false, given to a model as 1 or 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial.fields.base import Kind, describe, is_missing, plain
from perennial.reasons import ReasonCode, WrongValueError

if TYPE_CHECKING:
    import pyarrow as pa

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1", "1.0", "ja", "oui"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0", "0.0", "nein", "non"})


class Boolean(Kind):
    """True or false."""

    name = "boolean"
    position = 30

    def check(self, value: Any) -> bool:
        """Return the boolean, also of 0 and 1 and of the words that files have for it."""
        value = value if isinstance(value, bool) else self.from_file(plain(value))
        if not isinstance(value, bool):
            why = f"is {describe(value)}, not true or false"
            raise WrongValueError(ReasonCode.WRONG_TYPE, why)
        return value

    def is_missing(self, value: Any) -> bool:
        """Return whether there is no value, also in the words of files, such as ``?``."""
        return is_missing(plain(value))

    def from_file(self, value: Any) -> Any:
        """Return the boolean that a word or the number 0 or 1 means."""
        if is_missing(value):
            return None
        word = str(value).strip().lower()
        if word in _TRUE:
            return True
        return False if word in _FALSE else value

    def arrow_type(self) -> pa.DataType:
        """Return the type bool."""
        import pyarrow as pa

        return pa.bool_()


KIND = Boolean()
