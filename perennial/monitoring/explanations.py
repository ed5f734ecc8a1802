"""Explanations of drift that no retraining answers: one sender alone, what was learned before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from perennial import times
from perennial.monitoring.comparison import Sample
from perennial.monitoring.drift_tests import DriftTest

Find = Callable[[Sample, Sample], Sequence[DriftTest]]

_YEAR = timedelta(days=365)
_MOST_PERIODS = 12
# Who sends less than this share of the inputs does not make them drift.
_LEAST_SHARE = 0.1
_MOST_SENDERS = 3
_SHOWN = 12


def one_sender(
    before: Sample, now: Sample, drifted: Collection[str], find: Find, *, least: int
) -> str | None:
    """Return who makes inputs drift all alone, in words; None if others do as well.

    Parameters
    ----------
    before, now : Sample
        The reference and the recent inputs, which drift.
    drifted : collection of str
        The names of the tests that found drift.
    find : callable
        Returns the tests of two samples.
    least : int
        Fewer inputs of all others would tell nothing.
    """
    if now.senders is None:
        return None
    counts = Counter(sender for sender in now.senders if sender is not None)
    for sender, count in counts.most_common(_MOST_SENDERS):
        others = now.take(now.senders != sender)
        if count < _LEAST_SHARE * len(now) or len(others) < least:
            continue
        if _is_usual(find(before, others), drifted):
            return (
                f"it comes from one sender, request key {sender[:_SHOWN]}, who sent {count:,} of "
                f"{len(now):,}; the others are as usual"
            )
    return None


def earlier_period(
    before: Sample,
    drifted: Collection[str],
    find: Callable[[Sample], Sequence[DriftTest]],
    *,
    since: datetime,
    window: timedelta,
    least: int,
) -> str | None:
    """Return when inputs were as they are now, in words; None if Production knows no such time.

    First the same season of earlier years is looked at, then the windows before this one, the
    newest first. A period counts if every test that found drift is below its limit there, however
    few documents it has: that nothing is significant would say little.

    Parameters
    ----------
    before : Sample
        The reference, with times.
    drifted : collection of str
        The names of the tests that found drift.
    find : callable
        Returns the tests of the recent inputs against some of the reference.
    since : datetime
        When the recent window began.
    window : timedelta
        How long it is.
    least : int
        Fewer documents of a period would tell nothing.
    """
    if before.created_at is None or not len(before):
        return None
    oldest = before.created_at.min().astype("datetime64[us]").item().replace(tzinfo=UTC)
    for start in _starts(since, window, oldest):
        end = times.after(start, window)
        bounds = [np.datetime64(each.replace(tzinfo=None), "us") for each in (start, end)]
        rows = (before.created_at >= bounds[0]) & (before.created_at < bounds[1])
        if least <= rows.sum() < len(before) and _is_usual(find(before.take(rows)), drifted):
            return f"it was like this from {start:%Y-%m-%d} to {end:%Y-%m-%d}, which was learned"
    return None


def _starts(since: datetime, window: timedelta, oldest: datetime) -> Iterator[datetime]:
    """Yield where periods to compare with begin; those that are before every document are not."""
    begins: list[datetime] = []
    for step in (_YEAR, window):
        start = times.before(since, step)
        while times.after(start, window) > oldest and len(begins) < _MOST_PERIODS:
            if start not in begins:
                begins.append(start)
            start = times.before(start, step)
    yield from begins


def _is_usual(tests: Sequence[DriftTest], drifted: Collection[str]) -> bool:
    """Return whether all of the tests that found drift are there again, below their limits."""
    sizes = {test.name: test.size < test.limit for test in tests}
    return all(sizes.get(name, False) for name in drifted)
