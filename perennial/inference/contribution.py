"""Explanations: which features moved a decision, how far, and from where.

They stand by themselves, so that the service can write them without importing scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

# More of the places of one feature make an explanation larger, and tell nobody more.
MOST_SPANS = 200


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
        Positions of the feature in the text as it was sent, in code points; empty for a field. Of
        those of a feature that a text has often, the first `MOST_SPANS` are enough.
    """

    feature: str
    contribution: float
    spans: tuple[tuple[int, int], ...]


class Explanation(NamedTuple):
    """What moved a decision: `baseline`, all contributions and `others` add up to its score.

    Attributes
    ----------
    contributions : sequence of Contribution
        The largest first.
    baseline : float
        What the contributions start from, in their unit: the score of the label without any
        feature. Of a model that is explained by leaving out each part of an input, what is left of
        the score without all contributions.
    others : float
        Sum of the contributions that are not among `contributions`.
    """

    contributions: Sequence[Contribution]
    baseline: float
    others: float = 0.0

    @classmethod
    def of(cls, found: Sequence[Contribution], baseline: float, limit: int | None) -> Self:
        """Return the explanation by the largest of some contributions; None takes all."""
        ranked = sorted(found, key=lambda each: (-abs(each.contribution), each.feature))
        if limit is None:
            return cls(ranked, baseline)
        return cls(ranked[:limit], baseline, sum(each.contribution for each in ranked[limit:]))
