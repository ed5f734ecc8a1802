"""The schedule of a problem: cron as Prefect takes it, or a sentence that says what is wrong."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from prefect.client.schemas.schedules import CronSchedule
from prefect.server.schemas.schedules import CronSchedule as StartedByPrefect
from pydantic import ValidationError

from perennial.config.sections.schedule import Schedule
from tests.searches import tried

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


@st.composite
def _crons(draw: st.DrawFn) -> str:
    fields = []
    for least, most in _RANGES:
        numbers = st.integers(least, most)
        pairs = st.tuples(numbers, numbers).map(lambda pair: "{}-{}".format(*sorted(pair)))
        steps = st.integers(1, most).map("*/{}".format)
        part = st.one_of(st.just("*"), numbers.map(str), pairs, steps)
        fields.append(",".join(draw(st.lists(part, min_size=1, max_size=3))))
    return " ".join(fields)


@tried(suppress_health_check=[HealthCheck.too_slow])
@given(_crons())
def test_what_a_problem_may_say_prefect_understands(cron: str) -> None:
    schedule = Schedule(retrain=cron)

    assert CronSchedule(cron=schedule.retrain or "", timezone=schedule.timezone).cron == cron


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize(
    "cron",
    [
        "@hourly",
        "@daily",
        "@midnight",
        "@weekly",
        "@monthly",
        "@yearly",
        "0 3 * * MON",
        "0 3 * * mon-fri",
        "0 3 * * 7",
        "0 3 * JAN,JUL *",
        "30 4 29 FEB *",
        "0 0 L * *",
        "0 0 * * FRI#2",
        "0 0 13 * FRI",
        "0 0 */2 * MON",
        "0 0 1-31 * MON",
        "*/7 */5 * * *",
    ],
)
def test_a_flow_is_expected_when_prefect_starts_it(cron: str, timezone: str) -> None:
    schedule = Schedule(retrain=cron, timezone=timezone)
    start = datetime(2026, 1, 8, 2, 20, 30, tzinfo=UTC)

    assert CronSchedule(cron=cron, timezone=timezone).cron == schedule.retrain
    prefect = StartedByPrefect(cron=cron, timezone=timezone)
    started = asyncio.run(prefect.get_dates(5, start=start))
    assert list(islice(schedule.times_after("retrain", start), 5)) == started


@tried(suppress_health_check=[HealthCheck.too_slow])
@given(_crons())
def test_whatever_a_problem_may_say_prefect_starts_the_flow_at_those_times(cron: str) -> None:
    schedule = Schedule(retrain=cron)
    start = datetime(2026, 1, 8, 2, 20, 30, tzinfo=UTC)

    started = asyncio.run(StartedByPrefect(cron=cron, timezone="UTC").get_dates(3, start=start))

    assert list(islice(schedule.times_after("retrain", start), 3)) == started


def test_the_hour_that_comes_twice_when_clocks_are_set_back_is_not_expected_in_the_past() -> None:
    schedule = Schedule(retrain="*/15 * * * *", timezone="Europe/Berlin")
    start = datetime(2026, 10, 25, 1, 20, tzinfo=UTC)

    assert next(schedule.times_after("retrain", start)) > start


def test_a_flow_without_a_schedule_is_never_expected() -> None:
    schedule = Schedule(retrain=None, timezone="Europe/Berlin")

    for flow in ("retrain", "rollback", "timezone"):
        assert schedule.cron_of(flow) is None
        assert list(schedule.times_after(flow, datetime(2026, 1, 8, tzinfo=UTC))) == []


def test_spaces_around_the_fields_do_not_matter() -> None:
    assert Schedule(retrain="  0  3 * *\t* ").retrain == "0 3 * * *"


def test_without_a_word_a_problem_is_retrained_nightly_and_watched_every_quarter_of_an_hour() -> (
    None
):
    assert Schedule().retrain == "0 3 * * *"
    assert Schedule().monitor == "*/15 * * * *"


def test_a_flow_need_not_run_by_itself() -> None:
    assert Schedule(retrain=None).retrain is None


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("retrain", "0 3 * *", "five fields"),
        ("retrain", "61 3 * * *", "minute of a cron schedule is .* from 0 to 59 .*'61'"),
        ("monitor", "0 3 0 * *", "day of the month .* from 1 to 31"),
        ("monitor", "0 5-3 * * *", "hour .*'5-3'"),
        ("retrain", "*/0 * * * *", "minute"),
        ("retrain", "0 3 * * * *", "five fields"),
        ("retrain", "", "five fields"),
        ("retrain", "0 3 * FOO *", "month .* names from JAN to DEC .*'FOO'"),
        ("retrain", "0 3 * * 8", "day of the week .* from 0 to 7 .*'8'"),
        ("retrain", "R 3 * * *", "minute .*'R'"),
        ("retrain", "0 H(2-4) * * *", r"hour .*'H\(2-4\)'"),
        ("retrain", "0 3 * * 1,,2", "day of the week .*''"),
        ("retrain", "@reboot", "@hourly, @daily, @weekly, .* not '@reboot'"),
        ("retrain", "0 0 31 2 *", "never comes, .* day 31; name another day .* or write null"),
        ("monitor", "0 0 30 FEB *", "never comes, .* day 30;"),
        ("retrain", "0 0 31 4,6,9,11 *", "never comes"),
        ("retrain", "0 0 31 2 MON", "never comes"),
        ("timezone", "Europe/Atlantis", "a time zone is a name such as"),
        ("timezone", "../../etc/passwd", "a time zone is a name such as"),
        ("timezone", "Europe", "a time zone is a name such as"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused_with_what_may_stand_there(
    key: str, value: str, said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        Schedule.model_validate({key: value})
