"""History of one problem: its versions, changes of Production, live quality and drift over time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from perennial.registry.client import Change, Registry
from perennial.registry.model_version import ModelVersion
from perennial.registry.tags import METRIC, RunTags
from perennial.stores.measurements import Gauge

T = TypeVar("T")

# Further back than so many Productions nobody has to see how good the answers were.
_WATCHED = 6
_MOST_POINTS = 150
_MOST_VERSIONS = 200
_INTERVAL = re.compile(r"(-?[\d.]+(?:e-?\d+)?) \[(-?[\d.]+(?:e-?\d+)?), (-?[\d.]+(?:e-?\d+)?)\]")


@dataclass(frozen=True)
class Measured:
    """A value at a moment, with its interval where there is one."""

    at: datetime
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Watched:
    """What monitoring has found about one version while it was Production.

    Attributes
    ----------
    version : int
        Number of the version.
    live : tuple of Measured
        Accuracy by feedback, the oldest first.
    drift : tuple of datetime
        When drift was found.
    fresh : tuple of Measured
        Accuracy on labelled documents that arrived after it was made, the oldest first.
    """

    version: int
    live: tuple[Measured, ...] = ()
    drift: tuple[datetime, ...] = ()
    fresh: tuple[Measured, ...] = ()


@dataclass(frozen=True)
class History:
    """What has become of a problem.

    Attributes
    ----------
    versions : tuple of ModelVersion
        The newest versions, the oldest first.
    changes : tuple of Change
        Every change of Production, the oldest first.
    watched : tuple of Watched
        What monitoring has found about the last Productions.
    pages : dict of int to str
        Version -> its page in MLflow, where MLflow has pages.
    """

    versions: tuple[ModelVersion, ...]
    changes: tuple[Change, ...]
    watched: tuple[Watched, ...]
    pages: dict[int, str]


def read_history(registry: Registry, problem: str) -> History:
    """Return the history of a problem.

    Raises
    ------
    OutsideError
        If MLflow fails.
    """
    versions = []
    for version in registry.newest_first(problem):
        versions.append(version)
        if len(versions) == _MOST_VERSIONS:
            break
    changes = registry.history(problem)
    known = {version.version for version in versions}
    productions = sorted({change.after for change in changes} & known)[-_WATCHED:]
    pages = {each.version: registry.page(problem, version=each.version) for each in versions}
    return History(
        tuple(reversed(versions)),
        changes,
        tuple(_watched(registry, problem, number) for number in productions),
        {number: page for number, page in pages.items() if page is not None},
    )


def holdout(version: ModelVersion, metric: str) -> Measured | None:
    """Return what a version achieved on the holdout, with its interval if that was written down."""
    value = version.metrics.get(metric)
    if value is None or version.created is None:
        return None
    found = _INTERVAL.fullmatch(version.tags[METRIC + metric])
    if found is None:
        return Measured(version.created, value)
    return Measured(version.created, value, float(found[2]), float(found[3]))


def _watched(registry: Registry, problem: str, number: int) -> Watched:
    tags = RunTags(kind="monitor", watched_version=number).as_tags()
    run = registry.find_run(problem, tags)
    if run is None:
        return Watched(number)
    live, fresh = (
        _measured(registry, run, name, number) for name in ("live_accuracy", "arrived_accuracy")
    )
    drifting = registry.series(run, Gauge("drift_runs", 0.0).series)
    drift = [at for at, runs in drifting if runs]
    return Watched(number, tuple(_thinned(live)), tuple(_thinned(drift)), tuple(_thinned(fresh)))


def _measured(registry: Registry, run: str, name: str, number: int) -> list[Measured]:
    """Return the points of a gauge of a version, with their intervals."""
    labels = {"version": str(number)}
    value, low, high = (
        dict(registry.series(run, Gauge(each, 0.0, labels).series))
        for each in (name, f"{name}_low", f"{name}_high")
    )
    return [Measured(at, found, low.get(at), high.get(at)) for at, found in value.items()]


def _thinned(points: Sequence[T]) -> Sequence[T]:
    """Return points spread evenly over all of them, the last one among them."""
    if len(points) <= _MOST_POINTS:
        return points
    last = len(points) - 1
    return [points[round(position * last / (_MOST_POINTS - 1))] for position in range(_MOST_POINTS)]
