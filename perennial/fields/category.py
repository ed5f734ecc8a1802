"""Categories: texts of a set that training learns, each given to a model as a column of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial.fields.base import Kind, describe

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST = 1_000


class Category(Kind):
    """A text that names one of several categories."""

    name = "category"
    position = 20
    is_one_hot = True

    def check(self, value: Any) -> str:
        """Return the text: not empty, not overlong, and valid UTF-8."""
        if not isinstance(value, str):
            raise ValueError(f"is {describe(value)}, not a text")
        if not value:
            raise ValueError("is empty")
        if len(value) > _LONGEST:
            raise ValueError(f"has {len(value):,} characters, more than {_LONGEST:,}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("is not valid UTF-8") from None
        return value

    def arrow_type(self) -> pa.DataType:
        """Return the type string."""
        import pyarrow as pa

        return pa.string()


KIND = Category()
