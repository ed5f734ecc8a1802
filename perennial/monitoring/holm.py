"""Holm's correction: p-values that allow for how many tests there are."""

from __future__ import annotations

from collections.abc import Sequence


def corrected(p_values: Sequence[float]) -> list[float]:
    """Return p-values in their order, each corrected for the number of all of them.

    The chance that any of them is below a level without a difference is at most that level, however
    the tests depend on one another (Holm, A Simple Sequentially Rejective Multiple Test Procedure,
    Scandinavian Journal of Statistics 6, 1979).
    """
    found = list(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(found)), key=found.__getitem__)):
        largest = min(1.0, max(largest, (len(found) - rank) * p_values[place]))
        found[place] = largest
    return found
