"""The schema of ``schedule:`` in a problem's file: when its flows run by themselves."""

from __future__ import annotations

import re
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field

from perennial.schema import Schema

# The least and the most of each field of cron, in their order.
_FIELDS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day of the month": (1, 31),
    "month": (1, 12),
    "day of the week": (0, 7),
}
_PART = re.compile(r"(?:\*|(?P<first>\d+)(?:-(?P<last>\d+))?)(?:/(?P<step>[1-9]\d*))?")


def _check_cron(cron: str) -> str:
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"a cron schedule has the five fields {', '.join(_FIELDS)}")
    for (name, (least, most)), field in zip(_FIELDS.items(), fields, strict=True):
        for part in field.split(","):
            found = _PART.fullmatch(part)
            numbers = [int(n) for n in found.group("first", "last") if n] if found else [-1]
            if numbers != sorted(numbers) or not all(least <= n <= most for n in numbers):
                raise ValueError(
                    f"the {name} of a cron schedule is *, or numbers from {least} to {most} "
                    f"such as 1,5 or 1-5 or */5, not {part!r}"
                )
    return " ".join(fields)


def _check_timezone(name: str) -> str:
    # A machine without a table of time zones still knows this one.
    if name != "UTC" and name not in available_timezones():
        raise ValueError("a time zone is a name such as UTC or Europe/Berlin")
    return name


Cron = Annotated[str, AfterValidator(_check_cron)]


class Schedule(Schema):
    """When the flows of a problem run by themselves; null means never."""

    retrain: Cron | None = Field(default="0 3 * * *", description="five fields of cron")
    monitor: Cron | None = Field(default="*/15 * * * *", description="five fields of cron")
    timezone: Annotated[str, AfterValidator(_check_timezone)] = Field(
        default="UTC", description="in which the hours are meant"
    )
