"""Staleness: how much a model loses with its age, and how often a problem should be retrained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from perennial.metrics import Interval


@dataclass(frozen=True)
class Aged:
    """A model as old as this, on today's documents.

    Attributes
    ----------
    age : timedelta
        By how much its snapshot is older than the newest one.
    snapshot : int
        Version of its snapshot.
    value : float
        The metric on today's documents.
    loss : Interval
        By how much it is worse than a model of the newest snapshot, on the same documents.
    """

    age: timedelta
    snapshot: int
    value: float
    loss: Interval


def propose(aged: Sequence[Aged]) -> timedelta | None:
    """Return after which time a problem should be retrained; None if no loss is proved.

    It is the greatest age that is not proved to lose anything, younger than the first one that is;
    half of that one's age if there is none.

    Parameters
    ----------
    aged : sequence of Aged
        Models of different ages, in any order.
    """
    ordered = sorted(aged, key=lambda each: each.age)
    stale = next((each for each in ordered if each.loss.low > 0), None)
    if stale is None:
        return None
    younger = [each.age for each in ordered if each.age < stale.age]
    return younger[-1] if younger else stale.age / 2
