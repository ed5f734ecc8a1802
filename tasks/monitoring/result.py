"""The result of one monitor run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from perennial.monitoring.alarm import Step
from tasks.monitoring.drift import Drift
from tasks.monitoring.quality import Freshness, Quality
from tasks.monitoring.samples import Recent, Reference


@dataclass(frozen=True, eq=False)
class MonitorResult:
    """Everything that one monitor run found.

    Attributes
    ----------
    at : datetime
        Time of the run (UTC).
    reference, recent
        What was compared.
    drift, quality, freshness
        What was found.
    alarm : Step
        Whether the event was raised, and why or why not.
    """

    at: datetime
    reference: Reference
    recent: Recent
    drift: Drift
    quality: Quality
    freshness: Freshness
    alarm: Step
