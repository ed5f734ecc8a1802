"""Times stop at the ends of the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from perennial import times

moments = st.datetimes(timezones=st.just(UTC))
durations = st.timedeltas(min_value=timedelta(0))


@given(moments, durations)
def test_a_time_before_or_after_another_is_always_one_of_the_calendar(
    moment: datetime, duration: timedelta
) -> None:
    earlier, later = times.before(moment, duration), times.after(moment, duration)

    assert earlier <= moment <= later
    assert earlier == datetime.min.replace(tzinfo=UTC) or moment - earlier == duration
    assert later == datetime.max.replace(tzinfo=UTC) or later - moment == duration
