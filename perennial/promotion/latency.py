"""Latency: how long a model takes for one document, however busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perennial.inference.base import Predictor

_REPEATS = 4
_MILLISECONDS = 1_000.0


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one document: of half of the documents, and of 99 in 100, at most."""

    median: float
    p99: float


def measure_latency(predictor: Predictor, inputs: Sequence[Any]) -> Latency:
    """Measure how long the service's predictor takes for each of some inputs, one at a time.

    Each input is scored several times, in rounds over all of them, and the quickest time counts:
    other work on the machine can only add to a time, and hardly ever adds to every round of one
    input. What is left differs between inputs by what they are, mostly by their length; the
    percentiles are taken over the inputs. The first round also fills the predictor's memo of words,
    as the first requests do in the service.

    Raises
    ------
    ValueError
        If there is no input.
    """
    if not len(inputs):
        raise ValueError("latency cannot be measured without an input")
    seconds = [[_seconds(predictor, each) for each in inputs] for _ in range(_REPEATS)]
    best = np.min(seconds, axis=0) * _MILLISECONDS
    median, p99 = np.percentile(best, [50, 99])
    return Latency(float(median), float(p99))


def _seconds(predictor: Predictor, each: Any) -> float:
    start = time.perf_counter()
    predictor.probabilities([each])
    return time.perf_counter() - start
