"""Booleans: true or false, given to a model as 1 or 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial.fields.base import Kind, describe
from perennial.reasons import ReasonCode, WrongValueError

if TYPE_CHECKING:
    import pyarrow as pa


class Boolean(Kind):
    """True or false."""

    name = "boolean"
    position = 30

    def check(self, value: Any) -> bool:
        """Return the boolean; numbers and texts that mean the same are refused."""
        if not isinstance(value, bool):
            why = f"is {describe(value)}, not true or false"
            raise WrongValueError(ReasonCode.WRONG_TYPE, why)
        return value

    def arrow_type(self) -> pa.DataType:
        """Return the type bool."""
        import pyarrow as pa

        return pa.bool_()


KIND = Boolean()
