"""The schema of ``schedule:`` in a problem's file: when its flows run by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterBadDateError, CroniterError, croniter
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from perennial.schema import Schema

# The fields of cron in their order, and the values of each.
_FIELDS = {
    "minute": "numbers from 0 to 59",
    "hour": "numbers from 0 to 23",
    "day of the month": "numbers from 1 to 31",
    "month": "numbers from 1 to 12 or names from JAN to DEC",
    "day of the week": "numbers from 0 to 7 or names from SUN to SAT",
}
_BACKWARDS = re.compile(r"(\d{1,9})-(\d{1,9})")
# Fields of croniter that differ on each machine, which nothing can plan with.
_RANDOM = re.compile(r"[rh](?![a-z])", re.IGNORECASE)
_ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)


def _check_cron(cron: str) -> str:
    fields = cron.split()
    if len(fields) == 1 and fields[0].startswith("@"):
        _check_shorthand(fields[0])
    elif len(fields) == len(_FIELDS):
        for position, field in enumerate(fields):
            for part in field.split(","):
                _check_part(position, part)
    else:
        raise PydanticCustomError(
            "cron",
            "a cron schedule has the five fields {fields}, or is a word such as @daily",
            {"fields": ", ".join(_FIELDS)},
        )
    cron = " ".join(fields)
    # A day that never comes is refused beside a day of the week, too: Prefect plans neither then.
    without_weekday = " ".join([*fields[:-1], "*"]) if len(fields) > 1 else cron
    try:
        next(_local_times(without_weekday, _ANY_DAY))
        next(_local_times(cron, _ANY_DAY))
    except CroniterBadDateError:
        raise PydanticCustomError(
            "never",
            "this time never comes, as none of its months has a day {day}; name another day or "
            "month, or write null to start the flow by hand only",
            {"day": fields[2]},
        ) from None
    except CroniterError as error:
        raise PydanticCustomError(
            "cron", "this is not a cron schedule: {error}", {"error": str(error)}
        ) from None
    return cron


def _check_shorthand(word: str) -> None:
    if not _is_readable(word):
        raise PydanticCustomError(
            "cron",
            "a word for a cron schedule is @hourly, @daily, @weekly, @monthly or @yearly, "
            "not {word}",
            {"word": repr(word)},
        )


def _check_part(position: int, part: str) -> None:
    """Check a part of a field, by a schedule that is ``*`` everywhere else."""
    alone = ["*"] * len(_FIELDS)
    alone[position] = part
    found = _BACKWARDS.match(part)
    backwards = found is not None and int(found[1]) > int(found[2])
    if backwards or _RANDOM.match(part) or not _is_readable(" ".join(alone)):
        name, values = list(_FIELDS.items())[position]
        raise PydanticCustomError(
            "cron",
            "the {name} of a cron schedule is *, or {values} such as 1,5 or 1-5 or */5, not {part}",
            {"name": name, "values": values, "part": repr(part)},
        )


def _is_readable(cron: str) -> bool:
    try:
        croniter(cron)
    except ValueError:
        return False
    return True


def _local_times(cron: str, start: datetime) -> Iterator[datetime]:
    """Yield the times of a schedule on the clock of the start, without a time zone."""
    times = croniter(cron, start.replace(tzinfo=None))
    while True:
        yield times.get_next(datetime)


def _check_timezone(name: str) -> str:
    # A machine without a table of time zones still knows this one.
    if name != "UTC" and name not in available_timezones():
        raise PydanticCustomError("timezone", "a time zone is a name such as UTC or Europe/Berlin")
    return name


Cron = Annotated[str, AfterValidator(_check_cron)]


class Schedule(Schema):
    """When the flows of a problem run by themselves; null means never."""

    retrain: Cron | None = Field(
        default="0 3 * * *", description="five fields of cron, or a word such as @daily"
    )
    monitor: Cron | None = Field(
        default="*/15 * * * *", description="five fields of cron, or a word such as @hourly"
    )
    tidy: Cron | None = Field(
        default="30 4 * * 0", description="five fields of cron, or a word such as @weekly"
    )
    timezone: Annotated[str, AfterValidator(_check_timezone)] = Field(
        default="UTC", description="in which the hours are meant"
    )

    def cron_of(self, flow: str) -> str | None:
        """Return the cron schedule of a flow; None for a flow that only runs on demand."""
        crons: dict[str, str | None] = self.model_dump(exclude={"timezone"})
        return crons.get(flow)

    def times_after(self, flow: str, start: datetime) -> Iterator[datetime]:
        """Yield the times in UTC at which a flow starts by itself, none if it does not.

        Parameters
        ----------
        flow : str
            Name of the flow.
        start : datetime
            Moment before the first time, with a time zone.
        """
        cron = self.cron_of(flow)
        if cron is None:
            return
        zone = UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)
        for local in _local_times(cron, start.astimezone(zone)):
            time = local.replace(tzinfo=zone).astimezone(UTC)
            # When clocks are set back, an hour comes a second time, and counts once.
            if time > start:
                yield time
