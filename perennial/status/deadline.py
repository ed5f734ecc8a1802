"""Until when a flow should have succeeded again, by its schedule."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from itertools import islice

from perennial.config.problem import Problem
from perennial.config.sections.schedule import Schedule

# One run may be missed, or take long, before anybody need look.
_TIMES = 2
_REMEMBERED = 1000


def deadline(flow: str, problem: Problem, last: datetime) -> datetime | None:
    """Return the second time in the schedule after the last success; None without a schedule."""
    return _deadline(flow, problem.schedule, last)


@lru_cache(_REMEMBERED)
def _deadline(flow: str, schedule: Schedule, last: datetime) -> datetime | None:
    return next(islice(schedule.times_after(flow, last), _TIMES - 1, None), None)
