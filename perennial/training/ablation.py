"""Ablation: is a model better with a field than without it?

A field that is shuffled is one that lies; a field that is left out is one that costs nothing. So
the candidate is fitted once more without each field, which lets others stand in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perennial.metrics import Interval, MetricName, Predictions, difference


@dataclass(frozen=True)
class FieldAblation:
    """What a field brings.

    Attributes
    ----------
    field : str
        The field.
    gain : Interval
        By how much the candidate is better with it than without it; above 0 is better.
    """

    field: str
    gain: Interval

    @property
    def conclusion(self) -> str:
        """What the holdout proves."""
        if self.gain.low > 0:
            return "better with it"
        return "worse with it" if self.gain.high < 0 else "no difference is proved"


def ablate(
    metric: MetricName,
    fields: Sequence[str],
    full: Predictions,
    without: Callable[[str], Predictions],
    *,
    confidence: float,
    seed: int,
) -> tuple[FieldAblation, ...]:
    """Return what each field brings, that which brings most first.

    Parameters
    ----------
    metric : MetricName
        By which it is judged.
    fields : sequence of str
        The fields.
    full : Predictions
        What the candidate says of the holdout with all fields.
    without : callable
        Returns what it says when it has been fitted without a field.
    confidence : float
        Of each interval.
    seed : int
        Of the bootstrap.
    """
    found = [
        FieldAblation(
            field, difference(metric, full, without(field), confidence=confidence, seed=seed)
        )
        for field in fields
    ]
    return tuple(sorted(found, key=lambda each: (-each.gain.value, each.field)))
