"""Lists of words, such as tags: given to a model as a column of 0 and 1 for each word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perennial.fields.base import Kind, describe, is_nan, is_text
from perennial.reasons import ReasonCode, WrongValueError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_MOST = 1_000
_LONGEST = 1_000
# How files write several words in one cell: what comes first in this order separates them.
_SEPARATORS = ("|", ";", ",")


class Words(Kind):
    """A list of words in any order, of which each counts once."""

    name = "words"
    position = 60
    encoding = "words"

    def check(self, value: Any) -> list[str]:
        """Return the distinct words, sorted."""
        if not isinstance(value, list | tuple):
            raise WrongValueError(ReasonCode.WRONG_TYPE, f"is {describe(value)}, not a list")
        if len(value) > _MOST:
            why = f"has {len(value):,} words, more than {_MOST:,}"
            raise WrongValueError(ReasonCode.TOO_LONG, why)
        for word in value:
            if not is_text(word):
                why = f"has {describe(word)} in its list, not a text"
                raise WrongValueError(ReasonCode.WRONG_TYPE, why)
            if len(word) > _LONGEST:
                why = f"has a word of {len(word):,} characters, more than {_LONGEST:,}"
                raise WrongValueError(ReasonCode.TOO_LONG, why)
            try:
                word.encode()
            except UnicodeEncodeError:
                raise WrongValueError(ReasonCode.NOT_UTF8) from None
        return sorted({word.strip() for word in value} - {""})

    def from_file(self, value: Any) -> Any:
        """Return the words of a text in which they are separated by ``|``, ``;`` or commas."""
        if value is None or is_nan(value):
            return None
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        separator = next((each for each in _SEPARATORS if each in value), None)
        return [word.strip() for word in (value.split(separator) if separator else [value])]

    def to_column(self, values: Sequence[Any]) -> NDArray[Any]:
        """Return the lists; a missing one has the empty word, so that it is told from none."""
        import numpy as np

        return np.fromiter(
            ([""] if value is None else value for value in values), np.object_, len(values)
        )

    def arrow_type(self) -> pa.DataType:
        """Return the type list of string."""
        import pyarrow as pa

        return pa.list_(pa.string())


KIND = Words()
