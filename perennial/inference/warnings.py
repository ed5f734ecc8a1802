"""What an answer says besides: the model answered, but not by all that it was asked with.

It stands by itself, so that the service can write it without importing scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perennial.reasons import WarningCode


@dataclass(frozen=True)
class InputWarning:
    """Something in an input that the model could not go by.

    Attributes
    ----------
    code : WarningCode
        What it is.
    field : str or None
        The field of a record; None for a text.
    why : str
        A predicate of the field or the text.
    """

    code: WarningCode
    field: str | None
    why: str


# Of a text of which no word, or no group of characters, is a feature.
NOTHING_KNOWN = InputWarning(
    WarningCode.NOTHING_KNOWN,
    None,
    "has nothing in it that the model knows: the answer is that for an empty text",
)


def warnings_of(known: Sequence[float]) -> list[tuple[InputWarning, ...]] | None:
    """Return the warnings of each text, given how much of it is known; None if there are none."""
    if all(known):
        return None
    return [() if share else (NOTHING_KNOWN,) for share in known]
