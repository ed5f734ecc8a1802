"""Numbers: finite quantities, given to a model as they are."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from perennial.fields.base import LARGEST, Kind, describe, is_missing, plain
from perennial.reasons import ReasonCode, WrongValueError

if TYPE_CHECKING:
    import pyarrow as pa

_BEYOND = "is beyond the numbers that models take, up to 3.4e38"
_WRITTEN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d+([.,'\u2019_\s]\d+)+", re.ASCII)
# A decimal comma, with points, spaces or apostrophes between thousands.
_WITH_COMMA = re.compile(
    r"[+-]?(\d{1,3}([.'\u2019\s]\d{3})+|\d+)?(,\d*)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE
)
_SEPARATOR = re.compile(r"[.'\u2019\s]")
_AMBIGUOUS = (
    "has a decimal comma or a separator of thousands; write it with a decimal point and without "
    "separators, such as 1234.5, or decimal: ',' for the field in the problem's file"
)
_NO_COMMA = "has a decimal point, where the problem's file says that the mark is a comma"


class Number(Kind):
    """A finite number, no larger than models take."""

    name = "number"
    position = 10
    is_continuous = True

    def check(self, value: Any) -> float:
        """Return a floating-point number; -0 becomes 0."""
        number: float = value if type(value) is float else self._convert(value)
        if not -LARGEST <= number <= LARGEST:
            if not math.isfinite(number):
                why = f"is {number}, not a finite number"
                raise WrongValueError(ReasonCode.NOT_FINITE, why)
            raise WrongValueError(ReasonCode.OUT_OF_RANGE, _BEYOND)
        # The sum makes 0.0 of -0.0.
        return number + 0.0

    def _convert(self, value: Any) -> float:
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise WrongValueError(ReasonCode.WRONG_TYPE, f"is {describe(value)}, not a number")
        try:
            number = float(value)
        except OverflowError:
            raise WrongValueError(ReasonCode.OUT_OF_RANGE, _BEYOND) from None
        if isinstance(value, Decimal) and value.is_finite() and not math.isfinite(number):
            raise WrongValueError(ReasonCode.OUT_OF_RANGE, _BEYOND)
        return number

    def is_missing(self, value: Any) -> bool:
        """Return whether there is no value, also in the words of files, such as ``?``."""
        return is_missing(plain(value))

    def from_file(self, value: Any) -> Any:
        """Return the number that a text is; see `Kind.from_file`."""
        return self.read(value)

    def read(self, value: Any, *, decimal: str = ".") -> Any:
        """Return the number that a text is.

        Parameters
        ----------
        value : object
            A value of a file.
        decimal : str
            The decimal mark of texts: a point, or a comma, with which points, spaces and
            apostrophes separate thousands.

        Raises
        ------
        ValueError
            If it has separators that may mean two things.
        """
        if not isinstance(value, str):
            return None if is_missing(value) else value
        text = value.strip()
        if decimal == "," and _WITH_COMMA.fullmatch(text):
            text = _SEPARATOR.sub("", text).replace(",", ".")
        elif decimal == "," and "." in text and _WRITTEN.fullmatch(text):
            raise WrongValueError(ReasonCode.WRONG_TYPE, _NO_COMMA)
        if _WHOLE.fullmatch(text):
            return int(text)
        if _WRITTEN.fullmatch(text):
            return float(text)
        if is_missing(text):
            return None
        if _GROUPED.fullmatch(text):
            raise WrongValueError(ReasonCode.WRONG_TYPE, _AMBIGUOUS)
        return value

    def arrow_type(self) -> pa.DataType:
        """Return the type float64."""
        import pyarrow as pa

        return pa.float64()


KIND = Number()
