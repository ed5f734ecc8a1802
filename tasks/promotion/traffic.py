"""Traffic: what versions have done with real requests, from the service's prediction log.

The log has a random share of the requests, the same of each version, whose failures are logged as
often as their answers: counts shrink by it, rates do not change. What the log drops in a burst hits
the versions alike. Everything is counted in MongoDB; what travels does not grow with the traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pymongo.database import Database

from perennial.promotion.canary_analysis import Observed
from perennial.promotion.confidence_sequences import Group, Tally
from perennial.stores import mongodb
from perennial.stores.prediction_log import Traffic

# Groups of durations, each 12 % longer than the one before.
_GROUPS_PER_DECADE = 20


def observe(
    log: Database[mongodb.Document], problem: str, versions: Sequence[int], since: datetime
) -> dict[int, Observed]:
    """Return what each of these versions has done with the requests since a time.

    Parameters
    ----------
    log : Database
        The database of the service's log.
    problem : str
        Its name.
    versions : sequence of int
        Which versions.
    since : datetime
        Requests before it do not count, nor does feedback on them.
    """
    traffic = Traffic(log, problem, versions, since)
    labels: dict[int, dict[str, int]] = {version: {} for version in versions}
    seconds: dict[int, dict[Group, int]] = {version: {} for version in versions}
    said = {version: {True: 0, False: 0} for version in versions}
    failures = dict.fromkeys(versions, 0)

    for version, label, count in traffic.labels():
        labels[version][label] = count
    for version, group, count in traffic.durations(per_decade=_GROUPS_PER_DECADE):
        seconds[version][_ends(group)] = count
    for version, agrees, count in traffic.agreement():
        said[version][agrees] = count
    for version, _, count in traffic.failures():
        failures[version] = count
    return {
        version: Observed(
            failures[version],
            labels[version],
            Tally(said[version][True], sum(said[version].values())),
            seconds[version],
        )
        for version in versions
    }


def _ends(group: int) -> Group:
    return 10 ** (group / _GROUPS_PER_DECADE), 10 ** ((group + 1) / _GROUPS_PER_DECADE)
