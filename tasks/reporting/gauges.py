"""Gauges of a retraining: what it found, as numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from perennial.stores.measurements import Gauge

if TYPE_CHECKING:
    from perennial.promotion.verdict import Verdict
    from tasks.data.ingest import IngestResult
    from tasks.reporting.retraining import Retraining

# What `state_of_documents` yields.
DOCUMENT_METRICS = ("documents", "documents_quarantined", "documents_dropped", "snapshot_documents")
_OUTCOMES = ("promoted", "kept", "waiting")


def gauges_of(retraining: Retraining) -> Iterator[Gauge]:
    """Yield the durations, the documents, and if there is one the verdict of a retraining."""
    for step, seconds in retraining.seconds.items():
        yield Gauge("flow_step_seconds", seconds, {"step": step})
    yield from _changes(retraining.ingested)
    yield from state_of_documents(retraining.ingested)
    if retraining.arrivals is not None:
        yield Gauge("checked_documents", retraining.arrivals.documents)
        for each in retraining.arrivals.surprises:
            labels = {"field": each.field, "what": each.what}
            yield Gauge("unexpected_documents", each.documents, labels)
    if retraining.evaluation is not None:
        for metric, interval in retraining.evaluation.metrics.items():
            yield Gauge("challenger_metric", interval.value, {"metric": metric})
    if retraining.verdict is not None:
        for outcome in _OUTCOMES:
            yield Gauge("verdict", retraining.verdict.outcome == outcome, {"outcome": outcome})
        yield from _production(retraining.verdict)


def _production(verdict: Verdict) -> Iterator[Gauge]:
    """Yield what Production achieves on documents since, and what is claimed of a successor."""
    if verdict.since is not None:
        since, labels = verdict.since, {"version": str(verdict.production)}
        found = {"value": since.value, "low": since.low, "high": since.high}
        for end, value in found.items():
            yield Gauge("production_since", value, {**labels, "metric": since.metric, "end": end})
        yield Gauge("production_since_documents", since.documents, labels)
    if verdict.selection is not None:
        labels = {"version": str(verdict.challenger), "metric": verdict.selection.metric}
        yield Gauge("selection_claimed", verdict.selection.claimed, labels)
        yield Gauge("selection_corrected", verdict.selection.corrected, labels)


def _changes(ingested: IngestResult) -> Iterator[Gauge]:
    """Yield what has changed in the collection."""
    accounts = ingested.accounts
    for change in ("new", "corrected", "edited", "deleted", "released"):
        yield Gauge("document_changes", getattr(accounts, change), {"change": change})
    held = sum(accounts.quarantined.values())
    yield Gauge("document_changes", held, {"change": "quarantined"})


def state_of_documents(ingested: IngestResult) -> Iterator[Gauge]:
    """Yield what became of all documents."""
    accounts = ingested.accounts
    for outcome, count in (
        ("used", accounts.used),
        ("duplicate", accounts.duplicates),
        ("quarantined", sum(accounts.in_quarantine.values())),
    ):
        yield Gauge("documents", count, {"outcome": outcome})
    for reason, count in accounts.in_quarantine.items():
        yield Gauge("documents_quarantined", count, {"reason": reason.code, "field": reason.field})
    yield Gauge("documents_dropped", ingested.dropped)
    yield Gauge("snapshot_documents", ingested.snapshot.documents)
