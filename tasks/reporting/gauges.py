"""Figures: what a retraining found, as numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from perennial.stores.measurements import Figure

if TYPE_CHECKING:
    from tasks.reporting.retraining import Retraining

_OUTCOMES = ("promoted", "kept", "waiting")


def figures_of(retraining: Retraining) -> Iterator[Figure]:
    """Yield the durations, the documents, and if there is one the verdict of a retraining."""
    for step, seconds in retraining.seconds.items():
        yield Figure("flow_step_seconds", seconds, {"step": step})
    ingested = retraining.ingested
    for outcome, count in (
        ("read", ingested.read),
        ("used", ingested.used),
        ("duplicate", ingested.duplicates),
        ("quarantined", ingested.in_quarantine),
    ):
        yield Figure("documents", count, {"outcome": outcome})
    for reason, count in ingested.quarantined.items():
        yield Figure("documents_quarantined", count, {"reason": reason})
    yield Figure("snapshot_documents", ingested.snapshot.documents)
    if retraining.evaluation is not None:
        for metric, interval in retraining.evaluation.metrics.items():
            yield Figure("challenger_metric", interval.value, {"metric": metric})
    if retraining.verdict is not None:
        for outcome in _OUTCOMES:
            yield Figure("verdict", retraining.verdict.outcome == outcome, {"outcome": outcome})
