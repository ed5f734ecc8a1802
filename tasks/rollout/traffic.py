"""Traffic: counts of the requests of each version, from the service's prediction log.

The log has a random share of the requests, the same of each version, whose failures are logged as
often as their answers: counts shrink by it, rates do not change. What the log drops in a burst hits
the versions alike. Everything is counted in MongoDB; what travels does not grow with the traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pymongo.database import Database

from perennial.promotion.canary_analysis import RequestCounts
from perennial.promotion.confidence_sequences import Bucket, Tally
from perennial.stores import mongodb
from perennial.stores.prediction_log import Traffic

# Buckets of durations, each 12 % longer than the one before.
_BUCKETS_PER_DECADE = 20


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
    traffic = Traffic(log, problem, versions, since)
    labels: dict[int, dict[str, int]] = {version: {} for version in versions}
    seconds: dict[int, dict[Bucket, int]] = {version: {} for version in versions}
    said = {version: {True: 0, False: 0} for version in versions}
    failures = dict.fromkeys(versions, 0)

    for version, label, count in traffic.labels():
        labels[version][label] = count
    for version, bucket, count in traffic.durations(per_decade=_BUCKETS_PER_DECADE):
        seconds[version][_ends(bucket)] = count
    for version, agrees, count in traffic.agreement():
        said[version][agrees] = count
    for version, _, count in traffic.failures():
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


def _ends(bucket: int) -> Bucket:
    return 10 ** (bucket / _BUCKETS_PER_DECADE), 10 ** ((bucket + 1) / _BUCKETS_PER_DECADE)
