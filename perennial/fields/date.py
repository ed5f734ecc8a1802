"""Dates: given to a model as their parts and as days since 1970, all in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from perennial.fields.base import Kind, describe, is_missing, plain
from perennial.reasons import ReasonCode, WrongValueError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_DAY = 86_400
_BEYOND = "is beyond the years 1 to 9999"
_WANTED = "is {}, not a date such as 2026-11-28 or 2026-11-28T14:30:00Z"


class Date(Kind):
    """A date with or without a time; one without a zone is in UTC."""

    name = "date"
    position = 50
    parts = ("year", "month", "day", "weekday", "hour", "days")

    def check(self, value: Any) -> str:
        """Return the date in UTC as ISO 8601 writes it."""
        moment = _moment(plain(value))
        try:
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except OverflowError:
            raise WrongValueError(ReasonCode.OUT_OF_RANGE, _BEYOND) from None
        return moment.isoformat().replace("+00:00", "Z")

    def is_missing(self, value: Any) -> bool:
        """Return whether there is no value, also in the words of files, such as ``?``."""
        return is_missing(plain(value))

    def from_file(self, value: Any) -> Any:
        """Return the date, or the text that may be one."""
        if isinstance(value, str):
            value = value.strip()
        return None if is_missing(value) else value

    def arrow_type(self) -> pa.DataType:
        """Return the type string."""
        import pyarrow as pa

        return pa.string()

    def to_column(self, values: Sequence[Any]) -> NDArray[Any]:
        """Return the parts of each date, shape (n_values, n_parts)."""
        import numpy as np

        found = np.full((len(values), len(self.parts)), np.nan)
        for row, value in enumerate(values):
            if value is not None:
                found[row] = _numbers(datetime.fromisoformat(value))
        return found


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - UTC is put there
    if type(value).__name__ == "DatetimeMS":
        raise WrongValueError(ReasonCode.OUT_OF_RANGE, _BEYOND)
    if not isinstance(value, str):
        raise WrongValueError(ReasonCode.WRONG_TYPE, _WANTED.format(describe(value)))
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError:
        raise WrongValueError(ReasonCode.WRONG_TYPE, _WANTED.format("another text")) from None


def _numbers(moment: datetime) -> tuple[float, ...]:
    days = moment.timestamp() / _DAY
    whole = (moment.year, moment.month, moment.day, moment.weekday(), moment.hour)
    return (*map(float, whole), days)


KIND = Date()
