"""Explore: try every candidate with all its settings by cross-validation, within its time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, inf
from threading import BoundedSemaphore

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate
from perennial.config.sections.experiment import Parameters
from perennial.engine.workers import Engine, LostWorkersError
from perennial.errors import OutsideError
from perennial.metrics import MetricName
from perennial.registry.client import open_registry
from perennial.registry.tags import RunTags
from perennial.settings import get_settings
from perennial.training.cross_validation import SettingResult, experiment_folds, gain, in_order
from perennial.training.pipelines import parameters_of
from tasks.data.prepare import Dataset
from tasks.experiment.process import end_idle
from tasks.experiment.trial import Outcome, Trial, Tried, attempt
from tasks.experiment.workspace import Bench, laid_out
from tasks.tables.base import TextTable

# Without an engine each candidate has a process of its own: more at once than processors gain
# nothing.
_PROCESSORS = BoundedSemaphore(os.cpu_count() or 1)
# Workers end at about the same time when each has many trials, each of which prepares its features.
_TRIALS_OF_A_PLACE = 12
# What a worker may take beyond the time of an experiment to say that it is over.
_GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class ExploreResult:
    """Result of exploring one candidate.

    Attributes
    ----------
    name : str
        The candidate.
    run_id : str
        Id of the MLflow run of the candidate.
    outcome : {"complete", "out of time", "not reached", "failed"}
        Whether all its settings were tried.
    reason : str
        Why not, in a few words; empty when they were.
    settings : int
        How many settings it has.
    tried : sequence of SettingResult
        Those that were tried, in this order.
    best : SettingResult or None
        The best one of those that were fitted on every fold.
    seconds : float
        Time that it took in all.
    """

    name: str
    run_id: str
    outcome: Outcome
    reason: str
    settings: int
    tried: Sequence[SettingResult]
    best: SettingResult | None
    seconds: float

    def summary(self, metric: MetricName) -> str:
        """Return what became of the candidate, in half a line."""
        shown = "no figure" if self.best is None else f"{metric} {self.best.metrics[metric]:.4f}"
        why = f", {self.outcome} ({self.reason})" if self.reason else ""
        tried = f"{len(self.tried)} of {self.settings} settings"
        return f"{self.name} {shown}, {tried} in {self.seconds:.0f} s{why}"


def with_parameters(problem: Problem, name: str, parameters: Parameters) -> Problem:
    """Return the problem with one candidate alone, in one setting."""
    candidate = problem.candidates[name].model_copy(update={"parameters": parameters})
    return problem.model_copy(update={"candidates": {name: candidate}})


def counted(problem: Problem) -> Problem:
    """Return the problem with the widest features that each candidate can be made of.

    What a candidate leaves out of them is left out fold by fold, so that candidates share counts.
    """
    texts = {name: each for name, each in problem.candidates.items() if isinstance(each, Candidate)}
    least: dict[Hashable, int] = {}

    def kind_of(each: Candidate) -> Hashable:
        f = each.features
        return each.preparation, f.analyzer, f.bigrams, f.character_lengths, f.embedding

    for each in texts.values():
        kind = kind_of(each)
        least[kind] = min(each.features.min_documents, least.get(kind, sys.maxsize))

    def widest(each: Candidate) -> Candidate:
        features = each.features.model_copy(
            update={
                "max_features": None,
                "binary": False,
                "min_documents": least[kind_of(each)],
            }
        )
        return each.model_copy(update={"features": features})

    wide = {name: widest(each) for name, each in texts.items()}
    return problem.model_copy(update={"candidates": problem.candidates | wide})


@contextmanager
def bench(problem: Problem, dataset: Dataset) -> Iterator[Bench]:
    """Yield the training documents of a dataset, laid out for the candidates of a problem.

    Parameters
    ----------
    problem : Problem
        As the experiment sees it.
    dataset : Dataset
        Prepared for the problem as `counted` returns it.
    """
    wide = counted(problem).candidates
    counts = {name: dataset.counts_of(each).matrix for name, each in wide.items()}
    number = problem.experiment.folds
    try:
        folds = experiment_folds(dataset.bonds, dataset.labels, number, dataset.judged)
    except ValueError as error:
        raise OutsideError(
            f"{problem.name!r}: {error}; load more documents, or lower experiment.folds in "
            f"problems/{problem.name}.yaml."
        ) from error
    with laid_out(get_settings().data_dir, problem, counts, dataset.labels, folds) as found:
        try:
            yield found
        finally:
            end_idle()


@task(name="explore", task_run_name="explore {name}", cache_policy=NO_CACHE)
def explore(
    problem: Problem,
    name: str,
    dataset: Dataset,
    bench: Bench,
    parent_run: str,
    deadline: float,
    engine: Engine | None = None,
) -> ExploreResult:
    """Try one candidate until its time is over, and log what it showed as a run of its own.

    Parameters
    ----------
    problem : Problem
        As the experiment sees it.
    name : str
        The candidate.
    dataset : Dataset
        Dataset with the snapshot that the run names.
    bench : Bench
        The training documents.
    parent_run : str
        The experiment's run.
    deadline : float
        When the time of the whole experiment is over, by `time.monotonic`.
    engine : Engine or None
        What tries parts of its settings at once; None for this machine, all of them in turn.
    """
    registry = open_registry(get_settings())
    tags = RunTags(kind="explored").as_tags()
    with _PROCESSORS if engine is None else nullcontext():
        start = time.monotonic()
        with registry.run(problem.name, name, parent=parent_run, tags=tags) as run_id:
            done = _tried(problem, name, bench, deadline - start, engine)
            explored = _explored(problem, name, run_id, done, bench.n_folds)
            explored = replace(explored, seconds=time.monotonic() - start)
            _log(problem, explored, dataset)
    return explored


def _tried(
    problem: Problem, name: str, bench: Bench, seconds: float, engine: Engine | None
) -> Tried:
    if engine is not None:
        return tried_by(engine, problem, name, bench, seconds)
    (whole,) = trials_of(problem, name, bench, seconds)
    return attempt(whole)


def tried_by(engine: Engine, problem: Problem, name: str, bench: Bench, seconds: float) -> Tried:
    """Return what became of a candidate whose settings workers have tried.

    Parameters
    ----------
    engine : Engine
        The workers.
    problem : Problem
        As the experiment sees it.
    name : str
        The candidate.
    bench : Bench
        The training documents.
    seconds : float
        Time that is left of the whole experiment.
    """
    trials = trials_of(problem, name, bench, seconds, engine.places)
    try:
        done = dict(engine.done(attempt, trials, seconds=max(seconds, 0.0) + _GRACE_SECONDS))
    except LostWorkersError as error:
        return Tried((), "failed", str(error))
    missed = Tried((), "not reached", "no worker of the engine was free in the experiment's time")
    return _joined([done.get(trial, missed) for trial in trials])


def trials_of(
    problem: Problem, name: str, bench: Bench, seconds: float, places: int = 1
) -> list[Trial]:
    """Return what is to be tried of a candidate: in one trial, or in several if it allows that.

    Parameters
    ----------
    problem : Problem
        As the experiment sees it.
    name : str
        The candidate.
    bench : Bench
        The training documents.
    seconds : float
        Time that is left of the whole experiment.
    places : int
        How many trials can be made at once.
    """
    candidate, experiment = problem.candidates[name], problem.experiment
    budget, until = experiment.candidate_budget.total_seconds(), time.time() + seconds
    whole = Trial(bench, name, first=None, last=None, seconds=budget, until=until)
    count = len(experiment.settings_of(name, candidate.estimator, candidate.parameters))
    space = experiment.space_of(name, candidate.estimator)
    parts = min(count, ceil(_TRIALS_OF_A_PLACE * places / len(problem.candidates)))
    if 1 in {places, parts} or (space is not None and space.search == "halving"):
        # Halving compares all of them after each fold.
        return [whole]
    ends = [part * count // parts for part in range(parts + 1)]
    return [replace(whole, first=first, last=last) for first, last in pairwise(ends)]


def _joined(parts: Sequence[Tried]) -> Tried:
    """Return what became of all parts: the first of them that was not completed says why."""
    found = tuple(each for part in parts for each in part.found)
    unfinished = next((part for part in parts if part.outcome != "complete"), parts[0])
    return replace(unfinished, found=found)


def _explored(problem: Problem, name: str, run_id: str, done: Tried, folds: int) -> ExploreResult:
    candidate, experiment = problem.candidates[name], problem.experiment
    settings = experiment.settings_of(name, candidate.estimator, candidate.parameters)
    found = in_order(problem.metric, done.found, folds)
    whole = [each for each in found if each.folds == folds]
    best = max(whole, key=lambda each: gain(problem.metric, each.metrics), default=None)
    outcome, reason = done.outcome, done.reason
    if outcome == "out of time" and len(found) == len(settings):
        # It was stopped between its last word and its end.
        outcome, reason = "complete", ""
    return ExploreResult(name, run_id, outcome, reason, len(settings), found, best, 0.0)


def _log(problem: Problem, explored: ExploreResult, dataset: Dataset) -> None:
    best, metric = explored.best, problem.metric
    candidate = problem.candidates[explored.name]
    chosen = candidate.parameters if best is None else best.parameters
    figures = {"seconds": explored.seconds, "settings.tried": float(len(explored.tried))}
    if best is not None:
        figures |= {f"cv.{name}": value for name, value in best.metrics.items()}
        figures["fit.seconds"] = best.seconds
        if best.interval is not None:
            figures |= {
                f"cv.{metric}.low": best.interval.low,
                f"cv.{metric}.high": best.interval.high,
            }
    registry = open_registry(get_settings())
    registry.log(
        explored.run_id,
        params=parameters_of(with_parameters(problem, explored.name, chosen), explored.name),
        metrics=figures,
        tags=RunTags(outcome=explored.outcome, reason=explored.reason).as_tags(),
    )
    registry.log_files(
        explored.run_id, {"settings.md": settings_table(metric, explored).markdown()}, {}
    )
    registry.log_snapshot(explored.run_id, dataset.snapshot)


def settings_table(metric: MetricName, explored: ExploreResult) -> TextTable:
    """Return a table: what each setting of one candidate showed."""
    return TextTable(
        f"{explored.name}: {len(explored.tried)} of {explored.settings} settings tried",
        ("parameters", metric, "folds", "fit s"),
        [
            (
                shown(each.parameters),
                f"{each.metrics[metric]:.4f}",
                str(each.folds),
                f"{each.seconds:.2f}",
            )
            for each in explored.tried
        ],
    )


def shown(parameters: Parameters) -> str:
    """Return parameters as a person reads them."""
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def choose_best(problem: Problem, results: Sequence[ExploreResult]) -> ExploreResult:
    """Return the best candidate of an experiment.

    Raises
    ------
    OutsideError
        If no candidate was fitted on every fold in its time.
    """
    ranked = ranking(problem, results)
    if ranked[0].best is None:
        why = "; ".join(f"{each.name}: {each.reason}" for each in results)
        raise OutsideError(
            f"No candidate of {problem.name!r} was tried on every fold ({why}); raise "
            f"experiment.candidate_budget and experiment.budget in problems/{problem.name}.yaml."
        )
    return ranked[0]


def ranking(problem: Problem, results: Sequence[ExploreResult]) -> list[ExploreResult]:
    """Return the candidates with the best first; those without any figure come last."""
    return sorted(
        results,
        key=lambda each: -inf if each.best is None else gain(problem.metric, each.best.metrics),
        reverse=True,
    )
