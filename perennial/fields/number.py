"""Numbers: finite quantities, given to a model as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from perennial.fields.base import Kind, describe

if TYPE_CHECKING:
    import pyarrow as pa


class Number(Kind):
    """A finite number."""

    name = "number"
    position = 10
    is_continuous = True

    def check(self, value: Any) -> float:
        """Return a floating-point number; -0 becomes 0."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"is {describe(value)}, not a number")
        try:
            # The sum makes 0.0 of -0.0.
            number = float(value) + 0.0
        except OverflowError:
            raise ValueError("is too large a number") from None
        if not math.isfinite(number):
            raise ValueError(f"is {number}, not a finite number")
        return number

    def arrow_type(self) -> pa.DataType:
        """Return the type float64."""
        import pyarrow as pa

        return pa.float64()


KIND = Number()
