"""What an answer says besides: the model answered, but not by all that it was asked with.

It stands by itself, so that the service can write it without importing scikit-learn.
"""

from __future__ import annotations

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
