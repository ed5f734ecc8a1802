"""Until when a flow should have succeeded again, by its schedule."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import lru_cache

from perennial.config.problem import Problem

# One run may be missed, or take long, before anybody need look.
_TIMES = 2
_REMEMBERED = 1000


def deadline(flow: str, problem: Problem, last: datetime) -> datetime | None:
    """Return the second time in the schedule after the last success; None without a schedule."""
    cron = problem.schedule.model_dump().get(flow)
    return None if cron is None else _second(cron, problem.schedule.timezone, last)


@lru_cache(_REMEMBERED)
def _second(cron: str, timezone: str, last: datetime) -> datetime:
    from prefect.server.schemas.schedules import CronSchedule

    # Prefect's own reading of a schedule: what it starts is what is expected here.
    schedule = CronSchedule(cron=cron, timezone=timezone)
    return asyncio.run(schedule.get_dates(_TIMES, start=last))[-1].astimezone(UTC)
