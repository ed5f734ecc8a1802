"""One part of an explanation: which feature moved a decision, and how far.

It stands by itself, so that the service can write it without importing scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contribution:
    """How far one feature of an input moves the decision towards a label.

    Attributes
    ----------
    feature : str
        A token, or the two tokens of a bigram with a space between them; of a record, a field.
    contribution : float
        In log-odds, but of a tree or forest in probability; positive is towards the label.
    spans : tuple of (start, end)
        Positions of the feature in the text as it was sent, in code points; empty for a field.
    """

    feature: str
    contribution: float
    spans: tuple[tuple[int, int], ...]
