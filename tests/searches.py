"""How many examples a property is tried with, as a multiple of what the profile in use asks for."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

_FEWEST = 5


def tried(times: float = 1.0, **others: Any) -> settings:
    """Return settings of Hypothesis for a property that is tried so many times as often as others.

    `make test` and `make test-thorough` use other profiles; a number of one's own would be the same
    in both.
    """
    return settings(max_examples=max(_FEWEST, round(settings().max_examples * times)), **others)
