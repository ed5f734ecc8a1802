"""Texts beside other fields: given to a model as weighted counts of words and characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial.fields.base import Kind, describe, is_nan, is_text, plain
from perennial.reasons import ReasonCode, WrongValueError

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST = 100_000


class Text(Kind):
    """A text of words, of which no two records need to have the same."""

    name = "text"
    position = 40
    encoding = "text"

    def check(self, value: Any) -> str:
        """Return the text: not blank, not overlong, and valid UTF-8."""
        value = plain(value)
        if not is_text(value):
            raise WrongValueError(ReasonCode.WRONG_TYPE, f"is {describe(value)}, not a text")
        if not value.strip():
            raise WrongValueError(ReasonCode.EMPTY)
        if len(value) > _LONGEST:
            why = f"has {len(value):,} characters, more than {_LONGEST:,}"
            raise WrongValueError(ReasonCode.TOO_LONG, why)
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise WrongValueError(ReasonCode.NOT_UTF8) from None
        text: str = value
        return text

    def from_file(self, value: Any) -> Any:
        """Return the text as it is written."""
        if value is None or is_nan(value):
            return None
        return str(value) if isinstance(value, int | float) else value

    def arrow_type(self) -> pa.DataType:
        """Return the type large_string."""
        import pyarrow as pa

        return pa.large_string()


KIND = Text()
