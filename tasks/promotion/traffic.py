"""Traffic: counts of the requests of each version, from the service's prediction log.

The log has a random share of the requests, the same of each version, whose failures are logged as
often as their answers: counts shrink by it, rates do not change. What the log drops in a burst hits
the versions alike. Everything is counted in MongoDB; what travels does not grow with the traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pymongo.database import Database

from perennial.promotion.canary_analysis import RequestCounts
from perennial.promotion.confidence_sequences import Bucket, Tally
from perennial.stores import mongodb

PREDICTIONS, FAILURES = "predictions", "failures"
# Buckets of durations, each 12 % longer than the one before.
_BUCKETS_PER_DECADE = 20
_AGREES = {"$eq": ["$label", "$feedback.label"]}
_BUCKET = {"$floor": {"$multiply": [_BUCKETS_PER_DECADE, {"$log10": "$seconds"}]}}


def count_outcomes(
    log: Database[mongodb.Document], problem: str, versions: Sequence[int], since: datetime
) -> dict[int, RequestCounts]:
    """Return the counts of each version's requests since a time.

    Parameters
    ----------
    log : Database
        Database of the service's prediction log.
    problem : str
        Name of the problem.
    versions : sequence of int
        Version numbers to count.
    since : datetime
        Time before which requests, and feedback on them, do not count.
    """
    asked = {"problem": problem, "version": {"$in": list(versions)}, "created_at": {"$gte": since}}
    # Inputs of one request are not independent; entries of older services do not say their place.
    first = {**asked, "position": {"$in": [0, None]}}
    labels: dict[int, dict[str, int]] = {version: {} for version in versions}
    seconds: dict[int, dict[Bucket, int]] = {version: {} for version in versions}
    said = {version: {True: 0, False: 0} for version in versions}
    failures = dict.fromkeys(versions, 0)

    for version, label, count in _count(log[PREDICTIONS], first, "$label"):
        labels[version][label] = count
    timed = {**first, "seconds": {"$gt": 0}}
    for version, bucket, count in _count(log[PREDICTIONS], timed, _BUCKET):
        seconds[version][_ends(int(bucket))] = count
    told = {**asked, "feedback": {"$exists": True}}
    for version, agrees, count in _count(log[PREDICTIONS], told, _AGREES):
        said[version][bool(agrees)] = count
    for version, _, count in _count(log[FAILURES], asked, None):
        failures[version] = count
    return {
        version: RequestCounts(
            failures[version],
            labels[version],
            Tally(said[version][True], sum(said[version].values())),
            seconds[version],
        )
        for version in versions
    }


def _count(collection: Any, asked: dict[str, Any], by: Any) -> Iterator[tuple[int, Any, int]]:
    """Yield version, value and count of the entries that match."""
    stages = [
        {"$match": asked},
        {"$group": {"_id": {"version": "$version", "value": by}, "count": {"$sum": 1}}},
    ]
    for found in collection.aggregate(stages):
        yield found["_id"]["version"], found["_id"].get("value"), found["count"]


def _ends(bucket: int) -> Bucket:
    return 10 ** (bucket / _BUCKETS_PER_DECADE), 10 ** ((bucket + 1) / _BUCKETS_PER_DECADE)
