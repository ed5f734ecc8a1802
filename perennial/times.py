"""Times at the ends of the calendar, which has the years 1 to 9999."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


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
