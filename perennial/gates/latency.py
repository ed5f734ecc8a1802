"""Latency: how long a model may take for one document, however busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from perennial.gates.base import (
    NOT_MEASURED,
    Evidence,
    Gate,
    GateResult,
    ModelOnHoldout,
    SupportsProbabilities,
)
from perennial.schema import Schema

_TIMED_DOCUMENTS = 100
_CHECKED_DOCUMENTS = 10
_REPEATS = 4
_MILLISECONDS = 1_000.0


class Latency(Schema):
    """How long the model may take for one document."""

    milliseconds: float = Field(gt=0, description="of which 99 of 100 documents stay below")


class LatencyKeys(Schema):
    """The key ``latency``."""

    latency: Latency | None = None


@dataclass(frozen=True)
class MeasuredLatency:
    """Milliseconds for one document.

    Attributes
    ----------
    median, p99 : float
        Percentiles over the documents: half of them, and 99 of 100, take no longer.
    """

    median: float
    p99: float


class LatencyGate(Gate[LatencyKeys, MeasuredLatency]):
    """Requires that the service's predictor is fast enough; without a measurement it is not."""

    name = "latency"
    position = 60
    keys = LatencyKeys
    looks_at = "model"
    in_every_digest = True
    examples = (
        (
            "`latency: {milliseconds: 5}`",
            "more than 1 of 100 documents take longer in the service's predictor",
        ),
    )

    def measure(self, asked: LatencyKeys, subject: ModelOnHoldout) -> MeasuredLatency | None:
        """Return the latency for documents from all over the holdout."""
        if asked.latency is None:
            return None
        import numpy as np

        last, count = len(subject.inputs) - 1, min(len(subject.inputs), _TIMED_DOCUMENTS)
        chosen = subject.inputs.take(np.linspace(0, last, count).astype(int)).to_pylist()
        return measure_latency(subject.build_predictor(chosen[:_CHECKED_DOCUMENTS]), chosen)

    def judge(
        self, asked: LatencyKeys, evidence: Evidence, measured: MeasuredLatency | None
    ) -> Iterator[GateResult]:
        """Yield one result if the problem limits the latency."""
        if asked.latency is None:
            return
        yield GateResult(
            name="latency",
            passed=measured is not None and measured.p99 <= asked.latency.milliseconds,
            found=NOT_MEASURED
            if measured is None
            else f"99% within {measured.p99:.3f} ms, half within {measured.median:.3f} ms",
            required=f"99% within {asked.latency.milliseconds:g} ms",
        )


def measure_latency(predictor: SupportsProbabilities, inputs: Sequence[Any]) -> MeasuredLatency:
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
    import numpy as np

    seconds = [[_seconds(predictor, each) for each in inputs] for _ in range(_REPEATS)]
    best = np.min(seconds, axis=0) * _MILLISECONDS
    median, p99 = np.percentile(best, [50, 99])
    return MeasuredLatency(float(median), float(p99))


def _seconds(predictor: SupportsProbabilities, each: Any) -> float:
    start = time.perf_counter()
    predictor.probabilities([each])
    return time.perf_counter() - start


GATE = LatencyGate()
