"""What each field of records is worth to a model: what is lost when its values are shuffled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from perennial.metrics import METRICS, MetricName, Predictions, compute

# More documents and more rounds say the same, later.
_MOST_DOCUMENTS = 1_000
_FEW_FIELDS, _ROUNDS_OF_FEW, _ROUNDS = 20, 5, 2


@dataclass(frozen=True)
class FieldImportance:
    """What a field is worth.

    Attributes
    ----------
    field : str
        The field.
    loss : float
        By how much the metric is worse without what the field says, the mean of several rounds.
    deviation : float
        Standard deviation of the rounds.
    """

    field: str
    loss: float
    deviation: float


def field_importances(
    metric: MetricName,
    inputs: pa.StructArray,
    say: Callable[[pa.StructArray, np.ndarray[tuple[int], np.dtype[np.int64]]], Predictions],
    *,
    seed: int,
) -> tuple[FieldImportance, ...]:
    """Return what each field is worth, the most important one first (Breiman, 2001).

    Of fields that say the same, each seems to be worth little: the other one remains.

    Parameters
    ----------
    metric : MetricName
        By which it is judged.
    inputs : StructArray
        Records that the model has not learned from.
    say : callable
        Returns the model's predictions for some records, whose places in `inputs` come along.
    seed : int
        Of the documents that are looked at, and of the order of their values.
    """
    rng = np.random.default_rng(seed)
    places = np.sort(rng.permutation(len(inputs))[:_MOST_DOCUMENTS])
    records = inputs.take(pa.array(places))
    whole, sign = compute(metric, say(records, places)), METRICS[metric].sign
    fields = [field.name for field in records.type]
    rounds = _ROUNDS_OF_FEW if len(fields) <= _FEW_FIELDS else _ROUNDS
    found = []
    for number, field in enumerate(fields):
        losses = []
        for _ in range(rounds):
            shuffled = _with_shuffled(records, number, rng)
            losses.append(sign * (whole - compute(metric, say(shuffled, places))))
        found.append(FieldImportance(field, float(np.mean(losses)), float(np.std(losses))))
    return tuple(sorted(found, key=lambda each: (-each.loss, each.field)))


def _with_shuffled(
    records: pa.StructArray, number: int, rng: np.random.Generator
) -> pa.StructArray:
    columns = records.flatten()
    columns[number] = columns[number].take(pa.array(rng.permutation(len(records))))
    return pa.StructArray.from_arrays(columns, fields=list(records.type))
