"""Measurements: the latest figures of every flow, kept in MongoDB for Prometheus to ask for.

A flow's process has ended before Prometheus comes by, and may have run on any machine: what it
found waits in the problem's database, and outlives every restart of what exports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from perennial.config.problem import Problem
from perennial.settings import get_settings
from perennial.stores import mongodb

COLLECTION = "perennial_measurements"


@dataclass(frozen=True)
class Figure:
    """One number that a flow found.

    Attributes
    ----------
    name : str
        Of the metric in Prometheus, without the prefix ``perennial_``, in base units.
    value : float
        The number.
    labels : mapping of str to str
        What it is a number of, beside flow and problem.
    """

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def record(flow: str, problem: Problem, figures: Iterable[Figure]) -> None:
    """Keep the figures of a flow that succeeded now, in place of those of its last success.

    Raises
    ------
    OutsideError
        If MongoDB cannot be used.
    """
    kept = [
        {"name": figure.name, "value": float(figure.value), "labels": dict(figure.labels)}
        for figure in figures
    ]
    with mongodb.connect(get_settings()) as client:
        client[problem.source.database][COLLECTION].replace_one(
            {"_id": f"{flow} {problem.name}"},
            {"flow": flow, "problem": problem.name, "at": datetime.now(UTC), "figures": kept},
            upsert=True,
        )
