"""Measurements: the latest figures of every flow, kept in MongoDB for Prometheus to ask for.

A flow's process has ended before Prometheus comes by, and may have run on any machine: what it
found waits in the problem's database, and outlives every restart of what exports it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from perennial.config.problem import Problem
from perennial.prometheus import FLOWS, PREFIX
from perennial.settings import get_settings
from perennial.stores import mongodb

if TYPE_CHECKING:
    from pymongo.database import Database

COLLECTION = "perennial_measurements"
# What the exporter knows of every measurement.
_OF_ALL = frozenset({"flow", "problem"})
# What MLflow refuses in the name of a metric, and how long one may be.
_REFUSED = re.compile(r"[^\w\-. :]")
_LONGEST = 250
# Name in measurements of earlier versions -> today's.
_RENAMED = {"canary_requests_share": "canary_requests_ratio"}


@dataclass(frozen=True)
class Gauge:
    """One number that a flow measured.

    Attributes
    ----------
    name : str
        One of `perennial.prometheus.FLOWS`, without the prefix ``perennial_``.
    value : float
        The number.
    labels : mapping of str to str
        What it is a number of, beside flow and problem: a value for each label of the metric.

    Raises
    ------
    ValueError
        If there is no such metric, or it has other labels.
    """

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        labels = _labels_of(self.name)
        if labels is None:
            raise ValueError(f"perennial.prometheus lists no metric {PREFIX}{self.name} of flows.")
        if labels != self.labels.keys():
            raise ValueError(
                f"The metric {PREFIX}{self.name} has the labels {sorted(labels)}, "
                f"not {sorted(self.labels)}."
            )

    @property
    def series(self) -> str:
        """Name of its series in MLflow: its own, and the values of its labels.

        Of what people call their fields and sources, MLflow takes few characters and not very many.
        """
        name = ".".join([self.name, *(value for _, value in sorted(self.labels.items()))])
        return _REFUSED.sub("_", name)[:_LONGEST]


@dataclass(frozen=True)
class Measurement:
    """What the last success of a flow measured.

    Attributes
    ----------
    flow, problem : str
        Whose success it was.
    at : datetime
        When that was.
    gauges : tuple of Gauge
        The numbers.
    """

    flow: str
    problem: str
    at: datetime
    gauges: tuple[Gauge, ...]


def record(flow: str, problem: Problem, gauges: Iterable[Gauge] = ()) -> None:
    """Keep what a flow measured that succeeded now, in place of what its last success measured.

    Raises
    ------
    OutsideError
        If MongoDB cannot be used.
    """
    kept = _stored(gauges)
    with mongodb.connect(get_settings(), problem.name) as client:
        client[problem.source.database][COLLECTION].replace_one(
            {"_id": f"{flow} {problem.name}"},
            {"flow": flow, "problem": problem.name, "at": datetime.now(UTC), "figures": kept},
            upsert=True,
        )


def amend(flow: str, problem: Problem, gauges: Iterable[Gauge], metrics: Collection[str]) -> None:
    """Replace some figures of a flow's last success, which were measured again since.

    There is nothing to do where no success is known.

    Parameters
    ----------
    flow : str
        Whose figures they are.
    problem : Problem
        The problem.
    gauges : iterable of Gauge
        The new figures.
    metrics : collection of str
        The metrics of which all earlier figures go.

    Raises
    ------
    OutsideError
        If MongoDB cannot be used.
    """
    key = {"_id": f"{flow} {problem.name}"}
    with mongodb.connect(get_settings(), problem.name) as client:
        kept = client[problem.source.database][COLLECTION]
        entry = kept.find_one(key)
        if entry is not None:
            others = [each for each in entry["figures"] if each["name"] not in metrics]
            kept.update_one(key, {"$set": {"figures": [*others, *_stored(gauges)]}})


def latest(database: Database[dict[str, Any]]) -> Iterator[Measurement]:
    """Yield the last measurement of each flow and problem, also those of earlier versions.

    Numbers that Perennial no longer exports are left out.
    """
    for entry in database[COLLECTION].find():
        gauges = tuple(gauge for stored in entry["figures"] if (gauge := _read(stored)))
        yield Measurement(entry["flow"], entry["problem"], entry["at"], gauges)


def _stored(gauges: Iterable[Gauge]) -> list[dict[str, Any]]:
    return [
        {"name": gauge.name, "value": float(gauge.value), "labels": dict(gauge.labels)}
        for gauge in gauges
    ]


def _labels_of(name: str) -> frozenset[str] | None:
    family = FLOWS.get(PREFIX + name)
    return None if family is None else frozenset(family.labels) - _OF_ALL


def _read(stored: Mapping[str, Any]) -> Gauge | None:
    name = _RENAMED.get(stored["name"], stored["name"])
    labels = _labels_of(name)
    if labels is None or not stored["labels"].keys() <= labels:
        return None
    # To Prometheus an empty label is one that is not there.
    return Gauge(name, stored["value"], {each: stored["labels"].get(each, "") for each in labels})
