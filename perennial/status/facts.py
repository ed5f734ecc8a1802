"""What is known about each problem now; a source that does not answer hides no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from perennial.config.loader import LoadedProblems, load_problems
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.registry.client import Registry, open_registry
from perennial.registry.lost import why_lost
from perennial.registry.model_version import CANARY, PRODUCTION, Aliases, ModelVersion
from perennial.settings import Settings
from perennial.status.deadline import deadline
from perennial.stores import mongodb
from perennial.stores.measurements import Measurement, latest

Source = Literal["problem file", "registry", "mongodb"]


@dataclass(frozen=True)
class Versions:
    """What the registry says about the versions of a problem.

    Attributes
    ----------
    production, canary, newest : ModelVersion or None
        The version that answers, the one that is tried, and the one that was registered last.
    waiting : tuple of ModelVersion
        Versions that wait for a person's answer.
    lost : str
        Why there is no Production although there was one; empty if that is not so.
    """

    production: ModelVersion | None = None
    canary: ModelVersion | None = None
    newest: ModelVersion | None = None
    waiting: tuple[ModelVersion, ...] = ()
    lost: str = ""


@dataclass(frozen=True)
class Facts:
    """What is known about one problem.

    Attributes
    ----------
    name : str
        Name of the problem.
    metric : str
        The metric by which its candidates are chosen; empty if its file cannot be read.
    versions : Versions
        Its versions.
    measured : mapping of str to Measurement
        Flow -> what its last success has measured.
    due : mapping of str to datetime
        Flow -> until when it should succeed again, for flows with a schedule.
    next_retraining : datetime or None
        When its schedule begins the next retraining.
    unknown : mapping of Source to str
        Source that could not be asked -> why, in a sentence.
    """

    name: str
    metric: str = ""
    versions: Versions = Versions()
    measured: Mapping[str, Measurement] = field(default_factory=dict)
    due: Mapping[str, datetime] = field(default_factory=dict)
    next_retraining: datetime | None = None
    unknown: Mapping[Source, str] = field(default_factory=dict)

    def figures(self, flow: str, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """Yield labels and value of each series of a metric, whose name lacks the prefix."""
        measurement = self.measured.get(flow)
        for gauge in measurement.gauges if measurement else ():
            if gauge.name == name:
                yield gauge.labels, gauge.value

    def figure(self, flow: str, name: str, **labels: str) -> float | None:
        """Return the value of the series of a metric that has these labels, if it was measured."""
        for found, value in self.figures(flow, name):
            if labels.items() <= found.items():
                return value
        return None


def read_facts(settings: Settings, now: datetime, names: Sequence[str] = ()) -> tuple[Facts, ...]:
    """Return what is known about each problem, in the order of their names.

    Parameters
    ----------
    settings : Settings
        Where problems, registry and MongoDB are.
    now : datetime
        The moment after which the next retraining is looked for.
    names : sequence of str
        The problems; all that have a file unless given.

    Raises
    ------
    OutsideError
        If a name is not the name of a problem.
    """
    loaded = load_problems(settings.problems_dir)
    known = sorted([problem.name for problem in loaded.problems] + [*loaded.errors])
    for name in names:
        if name not in known:
            raise OutsideError(
                f"There is no problem {name!r} in {settings.problems_dir}; the problems are "
                f"{', '.join(known) or 'none'}."
            )
    wanted = sorted(set(names)) or known
    versions, registry_away = _versions(settings, wanted)
    measured, mongodb_away = _measurements(settings, loaded)
    away: dict[Source, str] = {}
    if registry_away:
        away["registry"] = registry_away
    if mongodb_away:
        away["mongodb"] = mongodb_away
    problems = {problem.name: problem for problem in loaded.problems}
    return tuple(
        _facts(
            problems[name],
            versions.get(name, Versions()),
            measured.get(name, {}),
            away,
            now,
        )
        if name in problems
        else Facts(
            name,
            versions=versions.get(name, Versions()),
            unknown={"problem file": str(loaded.errors[name]), **away},
        )
        for name in wanted
    )


def _facts(
    problem: Problem,
    versions: Versions,
    measured: Mapping[str, Measurement],
    away: Mapping[Source, str],
    now: datetime,
) -> Facts:
    due = {flow: deadline(flow, problem, each.at) for flow, each in measured.items()}
    return Facts(
        problem.name,
        problem.metric,
        versions,
        measured,
        {flow: until for flow, until in due.items() if until is not None},
        next(problem.schedule.times_after("retrain", now), None),
        away,
    )


def _versions(settings: Settings, names: Sequence[str]) -> tuple[dict[str, Versions], str]:
    try:
        registry = open_registry(settings)
        aliases = {each.problem: each for each in registry.problems()}
        waiting = registry.waiting()
        return {
            name: _of(registry, aliases[name], waiting) for name in names if name in aliases
        }, ""
    except OutsideError as error:
        return {}, str(error)


def _of(registry: Registry, aliases: Aliases, waiting: Sequence[ModelVersion]) -> Versions:
    problem = aliases.problem
    number = aliases.versions.get(PRODUCTION)
    production = None if number is None else registry.find(problem, number)
    canary = aliases.versions.get(CANARY)
    lost = why_lost(registry, problem, aliases) or ""
    return Versions(
        production,
        None if canary is None else registry.find(problem, canary),
        registry.newest(problem),
        tuple(version for version in waiting if version.problem == problem),
        lost,
    )


def _measurements(
    settings: Settings, loaded: LoadedProblems
) -> tuple[dict[str, dict[str, Measurement]], str]:
    found: dict[str, dict[str, Measurement]] = {}
    try:
        with mongodb.connect(settings) as client:
            for database in sorted({each.source.database for each in loaded.problems}):
                for measurement in latest(client[database]):
                    found.setdefault(measurement.problem, {})[measurement.flow] = measurement
    except OutsideError as error:
        return found, str(error)
    return found, ""
