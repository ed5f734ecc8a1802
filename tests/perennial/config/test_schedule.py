"""The schedule of a problem: cron as Prefect takes it, or a sentence that says what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prefect.client.schemas.schedules import CronSchedule
from pydantic import ValidationError

from perennial.config.schedule import Schedule

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


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(_crons())
def test_what_a_problem_may_say_prefect_understands(cron: str) -> None:
    schedule = Schedule(retrain=cron)

    assert CronSchedule(cron=schedule.retrain or "", timezone=schedule.timezone).cron == cron


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
        ("retrain", "@daily", "five fields"),
        ("timezone", "Europe/Atlantis", "a time zone is a name such as"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused_with_what_may_stand_there(
    key: str, value: str, said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        Schedule.model_validate({key: value})
