"""Categories: texts of a set that training learns, each given to a model as a column of its own."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from perennial.fields.base import Kind, checked_text, is_nan, plain

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST = 1_000
# Larger whole numbers are not exact as floating-point numbers.
_EXACT = 2**53


class Category(Kind):
    """A text that names one of several categories."""

    name = "category"
    position = 20
    encoding = "category"

    def check(self, value: Any) -> str:
        """Return the text: not empty, not overlong, and valid UTF-8; whole numbers are texts."""
        value = plain(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = _written(value)
        return checked_text(value, longest=_LONGEST)

    def from_file(self, value: Any) -> Any:
        """Return the text as it is written; a number or a date as it would be written."""
        if isinstance(value, str):
            return value or None
        if value is None or is_nan(value):
            return None
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int | float):
            return str(_written(value))
        if isinstance(value, date):
            return value.isoformat()
        return str(value) if isinstance(value, Decimal) else value

    def arrow_type(self) -> pa.DataType:
        """Return the type string."""
        import pyarrow as pa

        return pa.string()


def _written(value: float) -> str | float:
    """Return a whole number as it is written, without a decimal point; others as they are."""
    if isinstance(value, int):
        # Python does not write a number of thousands of digits.
        return str(value) if value.bit_length() < _LONGEST else value
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else value


KIND = Category()
