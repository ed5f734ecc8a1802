"""Times: the ends of the calendar, which has the years 1 to 9999, and durations for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
_UNITS = ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min"))


def before(moment: datetime, duration: timedelta) -> datetime:
    """Return the time so long before another one, or the first of all."""
    try:
        return moment - duration
    except OverflowError:
        return _FIRST


def after(moment: datetime, duration: timedelta) -> datetime:
    """Return the time so long after another one, or the last of all."""
    try:
        return moment + duration
    except OverflowError:
        return _LAST


def rounded(duration: timedelta) -> str:
    """Return a duration in its largest unit: ``3 d``, ``13 h`` or ``7 min``."""
    for unit, name in _UNITS:
        if duration >= 2 * unit:
            return f"{duration // unit} {name}"
    return "0 min" if duration < _UNITS[-1][0] else "1 min"
