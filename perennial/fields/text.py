"""Texts beside other fields: given to a model as weighted counts of words and characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial.fields.base import Kind, checked_text, is_nan, plain
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
        text = checked_text(plain(value), longest=_LONGEST)
        if not text.strip():
            raise WrongValueError(ReasonCode.EMPTY)
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
