"""Values of fields that a model knows: what a person may choose from, or is likely to mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from perennial.encoders.categories import MISSING, CategoryEncoder
from perennial.inputs.encoder import FieldEncoder, fields_of

# Of a category with more values nobody reads a list.
MOST_CATEGORIES = 1_000


@dataclass(frozen=True)
class KnownValues:
    """The values of one field that a model knows.

    Attributes
    ----------
    categories : tuple of str or None
        Those that training has seen often enough to tell them apart; None for other kinds.
    typical : float or None
        The median of a number.
    low, high : float or None
        Between which numbers 98% of the training documents are; None in older models.
    """

    categories: tuple[str, ...] | None = None
    typical: float | None = None
    low: float | None = None
    high: float | None = None


def known_values(model: Pipeline) -> dict[str, KnownValues]:
    """Return what a model knows of each field that is a category or a number; none of texts."""
    kinds = fields_of(model)
    return {} if kinds is None else dict(_known(model.steps[1][1], kinds))


def _known(encoder: FieldEncoder, kinds: Mapping[str, str]) -> Iterator[tuple[str, KnownValues]]:
    column = 0
    typical = getattr(encoder, "typical_", np.zeros(0))
    usual = getattr(encoder, "usual_", None)
    for name, width in encoder.layout_:
        values: Any = encoder.encoders_.get(name)
        if isinstance(values, CategoryEncoder):
            known = [value for value in values.values_ if value != MISSING]
            yield name, KnownValues(tuple(known[:MOST_CATEGORIES]))
        elif kinds.get(name) == "number" and column < len(typical):
            between = (None, None) if usual is None else tuple(usual[:, column].tolist())
            low, high = (None if end is None or np.isnan(end) else end for end in between)
            yield name, KnownValues(typical=float(typical[column]), low=low, high=high)
        column += width
