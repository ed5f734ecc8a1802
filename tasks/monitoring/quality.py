"""Quality: what feedback says of the answers given, and what to expect where nobody says anything.

Feedback counts for the time of the prediction that it is about, whenever it comes: the figures of a
day grow surer as its labels arrive, and a slow answer does not pass for a bad day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial import times
from perennial.config.problem import Problem
from perennial.gates.slices import Slices, slices_of
from perennial.metrics import Interval
from perennial.monitoring.comparison import Sample
from perennial.monitoring.drift_tests import Of
from perennial.monitoring.quality import estimate_accuracy, share_right
from perennial.registry.client import PRODUCTION
from perennial.settings import get_serving_settings, get_settings
from perennial.stores import mongodb
from perennial.stores.measurements import COLLECTION
from perennial.stores.prediction_log import Hour, count_by_hour
from tasks.monitoring.samples import Recent, Reference
from tasks.orchestration.retries import NETWORK

# Fewer documents say nothing of their slice; of very many slices nobody reads all.
_LEAST_OF_PART, _MOST_PARTS = 10, 20
_LOOK_BACKS = (timedelta(days=1), timedelta(days=7))


@dataclass(frozen=True)
class LiveAccuracy:
    """The accuracy of one version's answers of the last so much time."""

    version: int
    look_back: timedelta
    known: int
    accuracy: Interval


@dataclass(frozen=True)
class PartAccuracy:
    """Production's accuracy on the labelled documents of one slice or source that have arrived."""

    name: str
    documents: int
    accuracy: Interval


@dataclass(frozen=True)
class Freshness:
    """Ages of data and versions, in seconds; None where there is nothing.

    Attributes
    ----------
    production : float or None
        Since the version became Production.
    newest_document : float or None
        Since the newest document was created.
    snapshot : float or None
        Since the newest document of Production's snapshot was created.
    retraining : float or None
        Since a retraining last succeeded, whatever its verdict.
    """

    production: float | None
    newest_document: float | None
    snapshot: float | None
    retraining: float | None


@dataclass(frozen=True)
class Quality:
    """Quality of the answers, by feedback and on the holdout.

    Attributes
    ----------
    holdout : Interval or None
        Production's accuracy on the reference, to compare with.
    live : tuple of LiveAccuracy
        Measured by feedback, per version and look-back; the newest version first.
    hours : tuple of Hour
        The same by the hour.
    documents : Interval or None
        Measured on the labelled documents that have arrived, which Production has not seen.
    estimated : mapping of str to Interval
        Expected without labels, of documents and of predictions.
    parts : tuple of PartAccuracy
        The accuracy on arrived documents by source and slice, the lowest first.
    """

    holdout: Interval | None
    live: tuple[LiveAccuracy, ...] = ()
    hours: tuple[Hour, ...] = ()
    documents: Interval | None = None
    estimated: Mapping[Of, Interval] = field(default_factory=dict)
    parts: tuple[PartAccuracy, ...] = ()


@task(name="measure quality", cache_policy=NO_CACHE, **NETWORK)
def measure_quality(
    problem: Problem, reference: Reference, recent: Recent, now: datetime
) -> Quality:
    """Measure accuracy where the truth is known, and estimate it where it is not.

    Raises
    ------
    OutsideError
        If MongoDB cannot be used.
    """
    hours = _hours(problem, times.before(now, problem.monitoring.window))
    samples: dict[Of, Sample] = {"documents": recent.documents, "predictions": recent.predictions}
    return Quality(
        holdout=_accuracy(reference.sample),
        live=_live(problem, hours, now),
        hours=hours,
        documents=_accuracy(recent.documents),
        estimated={
            of: _estimate(problem, reference.sample, sample)
            for of, sample in samples.items()
            if min(len(sample), len(reference.sample)) >= problem.monitoring.min_documents
        },
        parts=_parts(problem, recent),
    )


@task(name="measure freshness", cache_policy=NO_CACHE, **NETWORK)
def measure_freshness(
    problem: Problem, reference: Reference, recent: Recent, now: datetime
) -> Freshness:
    """Return how old Production, the newest document and the last retraining are.

    Raises
    ------
    OutsideError
        If MongoDB cannot be used.
    """
    with mongodb.connect(get_settings(), problem.name) as client:
        measured = client[problem.source.database][COLLECTION]
        retraining = measured.find_one({"_id": f"retrain {problem.name}"}) or {}

    def age(then: datetime | None) -> float | None:
        return None if then is None else max(0.0, (now - then).total_seconds())

    return Freshness(
        production=age(reference.production.since(PRODUCTION)),
        newest_document=age(recent.newest),
        snapshot=age(reference.snapshot.watermark),
        retraining=age(retraining.get("at")),
    )


def _hours(problem: Problem, since: datetime) -> tuple[Hour, ...]:
    with mongodb.connect(get_settings()) as client:
        return count_by_hour(client[get_serving_settings().log_database], problem.name, since)


def _live(problem: Problem, hours: tuple[Hour, ...], now: datetime) -> tuple[LiveAccuracy, ...]:
    window = problem.monitoring.window
    found = []
    for look_back in (*(each for each in _LOOK_BACKS if each < window), window):
        counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        since = times.before(now, look_back)
        for hour in hours:
            # An hour that has begun before the look-back does counts as a whole.
            if hour.start + timedelta(hours=1) > since:
                counts[hour.version][0] += hour.right
                counts[hour.version][1] += hour.known
        found += [
            LiveAccuracy(version, look_back, known, share_right(right, known))
            for version, (right, known) in counts.items()
        ]
    return tuple(sorted(found, key=lambda each: (-each.version, each.look_back)))


def _accuracy(sample: Sample) -> Interval | None:
    right = sample.right
    return share_right(int(right.sum()), len(right)) if len(right) else None


def _parts(problem: Problem, recent: Recent) -> tuple[PartAccuracy, ...]:
    """Return the accuracy on each source, and on each slice that the problem names.

    Production has answered these documents before anything has learned from them.
    """
    right = recent.documents.right
    if not len(right):
        return ()
    named = problem.gates.slices or Slices(margin=0.5)
    found = slices_of(named.model_copy(update={"source": True}), recent.traits)
    largest = sorted(found, key=len, reverse=True)[:_MOST_PARTS]
    return tuple(
        sorted(
            (
                PartAccuracy(
                    part.name, len(part), share_right(int(right[part.rows].sum()), len(part))
                )
                for part in largest
                if _LEAST_OF_PART <= len(part) < len(right)
            ),
            key=lambda each: (each.accuracy.value, each.name),
        )
    )


def _estimate(problem: Problem, reference: Sample, recent: Sample) -> Interval:
    return estimate_accuracy(
        reference.confidence[reference.known],
        reference.right,
        recent.confidence,
        seed=problem.seed,
    )
