"""Facts about problems: what files, registry, MongoDB and Prefect say of each, for `rules`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from perennial.config.loader import load_problems
from perennial.config.problem import Problem
from perennial.errors import OutsideError, ProblemError
from perennial.promotion.figure import Selection, Since, best_figure
from perennial.reasons import Reason, ReasonCode
from perennial.settings import Settings
from perennial.status.deadline import deadline
from perennial.status.measured import read_measurements
from perennial.status.runs import NOTHING, Automatic, read_automatic
from perennial.status.versions import NO_VERSIONS, Versions, read_versions
from perennial.stores.measurements import Measurement

Source = Literal["problem file", "registry", "mongodb", "prefect"]
_METRIC = "accuracy"


@dataclass(frozen=True)
class Live:
    """Accuracy of a version by feedback on its answers.

    Attributes
    ----------
    value : float
        Share of the answers that were right.
    low, high : float or None
        Bounds of its interval, where they were measured.
    answers : int
        How many answers have a known truth.
    """

    value: float
    low: float | None
    high: float | None
    answers: int


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
        When its schedule begins the next retraining; None while the schedule is paused, too.
    unknown : mapping of Source to str
        Source that could not be asked -> why, in a sentence.
    automatic : Automatic
        What Prefect says about its runs and schedules.
    """

    name: str
    metric: str = ""
    versions: Versions = NO_VERSIONS
    measured: Mapping[str, Measurement] = field(default_factory=dict)
    due: Mapping[str, datetime] = field(default_factory=dict)
    next_retraining: datetime | None = None
    unknown: Mapping[Source, str] = field(default_factory=dict)
    automatic: Automatic = NOTHING

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

    @property
    def holdout(self) -> float | None:
        """What Production achieved on the holdout, by the problem's metric."""
        production = self.versions.production
        return None if production is None else production.metrics.get(self.metric)

    @property
    def corrected(self) -> float | None:
        """What is to be expected of Production: by documents since, or its claim, corrected."""
        production = self.versions.production
        if production is None:
            return None
        return best_figure(production.selection(Selection), production.since_made(Since))

    @property
    def claimed_accuracy(self) -> float | None:
        """Accuracy of Production on the holdout, with which that by feedback is compared."""
        production = self.versions.production
        return None if production is None else production.metrics.get(_METRIC)

    @property
    def live(self) -> Live | None:
        """Accuracy of Production by feedback, if the last monitoring has measured it."""
        production = self.versions.production
        if production is None:
            return None
        value, low, high, answers = (
            self.figure("monitor", name, version=str(production.version))
            for name in ("live_accuracy", "live_accuracy_low", "live_accuracy_high", "live_answers")
        )
        return None if value is None else Live(value, low, high, int(answers or 0))

    @property
    def fresh(self) -> tuple[tuple[str, Live], ...]:
        """Accuracy of Production on labelled documents that arrived since, whole and by part."""
        production = self.versions.production
        if production is None:
            return ()
        version = {"version": str(production.version)}
        parts = [
            labels["part"]
            for labels, _ in self.figures("monitor", "arrived_part_accuracy")
            if version.items() <= labels.items()
        ]
        found = [("", self._fresh("arrived_accuracy", "recent_documents", version))]
        for part in parts:
            names = "arrived_part_accuracy", "arrived_part_documents"
            found.append((part, self._fresh(*names, {**version, "part": part})))
        return tuple((part, each) for part, each in found if each is not None)

    def _fresh(self, name: str, documents: str, labels: Mapping[str, str]) -> Live | None:
        value, low, high = (
            self.figure("monitor", each, **labels) for each in (name, f"{name}_low", f"{name}_high")
        )
        of = labels if documents.startswith("arrived") else {}
        count = self.figure("monitor", documents, **of)
        return None if value is None else Live(value, low, high, int(count or 0))

    @property
    def drifting(self) -> tuple[str, ...]:
        """What the last monitoring found drift in, such as ``words of documents``."""
        return tuple(
            sorted(
                f"{labels['test']} of {labels['of']}" if labels["of"] else labels["test"]
                for labels, value in self.figures("monitor", "drift_found")
                if value
            )
        )

    @property
    def held(self) -> tuple[tuple[Reason, int], ...]:
        """Why documents are in quarantine, each reason with their number, the most first."""
        found = [
            (Reason(ReasonCode(labels["reason"]), labels["field"]), int(value))
            for labels, value in self.figures("retrain", "documents_quarantined")
            if value
        ]
        return tuple(sorted(found, key=lambda each: (-each[1], each[0])))

    @property
    def dropped(self) -> int:
        """How many documents were dropped from quarantine, and are not read until they change."""
        return int(self.figure("retrain", "documents_dropped") or 0)

    @property
    def quarantined(self) -> tuple[int, int]:
        """How many documents the last retraining found in quarantine, and of how many."""
        figures = self.figures("retrain", "documents")
        counts = {labels["outcome"]: int(value) for labels, value in figures}
        return counts.get("quarantined", 0), sum(counts.values())


def read_facts(settings: Settings, now: datetime, names: Sequence[str] = ()) -> tuple[Facts, ...]:
    """Return what is known about each problem, in the order of their names.

    Whatever is wrong with one problem is said of that one alone. Problems that were retired are
    known as long as the registry has versions of them, whether or not their file is there.

    Parameters
    ----------
    settings : Settings
        Where problems, registry and MongoDB are.
    now : datetime
        The moment after which the next retraining is looked for.
    names : sequence of str
        The problems; all unless given.

    Raises
    ------
    OutsideError
        If a name is not the name of a problem.
    """
    loaded = load_problems(settings.problems_dir)
    known = sorted([problem.name for problem in loaded.problems] + [*loaded.errors])
    asked = sorted(set(names))
    versions, away = read_versions(settings, asked or known, with_retired=not asked)
    retired = {name for name, each in versions.items() if each.retired is not None}
    known = sorted({*known, *retired})
    for name in names:
        if name not in known:
            raise OutsideError(
                f"There is no problem {name!r} in {settings.problems_dir}; the problems are "
                f"{', '.join(known) or 'none'}."
            )
    problems = {problem.name: problem for problem in loaded.problems}
    found = _Found(
        versions,
        away,
        *read_measurements(settings, loaded.problems),
        *read_automatic(),
    )
    return tuple(
        _facts(problems[name], found, now)
        if name in problems
        else Facts(
            name,
            versions=found.versions.get(name, NO_VERSIONS),
            unknown={**_file_error(loaded.errors.get(name)), **found.unknown(name)},
            automatic=found.automatic.get(name, NOTHING),
        )
        for name in asked or known
    )


def _file_error(error: ProblemError | None) -> dict[Source, str]:
    """Return what is wrong with a problem's file; nothing where it is not there any more."""
    return {} if error is None else {"problem file": str(error)}


@dataclass(frozen=True)
class _Found:
    """What the sources say about all problems, and why they say nothing: problem -> sentence."""

    versions: Mapping[str, Versions]
    registry_away: Mapping[str, str]
    measured: Mapping[str, Mapping[str, Measurement]]
    mongodb_away: Mapping[str, str]
    automatic: Mapping[str, Automatic]
    prefect_away: str

    def unknown(self, name: str) -> dict[Source, str]:
        """Return the sources that say nothing about a problem, each with the reason."""
        reasons: dict[Source, str] = {
            "registry": self.registry_away.get(name, ""),
            "mongodb": self.mongodb_away.get(name, ""),
            "prefect": self.prefect_away,
        }
        return {source: why for source, why in reasons.items() if why}


def _facts(problem: Problem, found: _Found, now: datetime) -> Facts:
    name = problem.name
    measured = found.measured.get(name, {})
    automatic = found.automatic.get(name, NOTHING)
    # What has never succeeded should have since it is deployed.
    last = {**automatic.since, **{flow: each.at for flow, each in measured.items()}}
    due = {flow: deadline(flow, problem, at) for flow, at in last.items()}
    versions = found.versions.get(name, NO_VERSIONS)
    coming = next(problem.schedule.times_after("retrain", now), None)
    goes_on = versions.retired is None and "retrain" not in automatic.paused
    return Facts(
        name,
        problem.metric,
        versions,
        measured,
        {flow: until for flow, until in due.items() if until is not None},
        coming if goes_on else None,
        found.unknown(name),
        automatic,
    )
