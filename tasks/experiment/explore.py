"""Explore: try every candidate with all its settings by cross-validation, within its time."""

from __future__ import annotations

import sys
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate
from perennial.config.sections.experiment import Parameters
from perennial.errors import OutsideError
from perennial.metrics import MetricName
from perennial.registry.client import open_registry
from perennial.registry.tags import RunTags
from perennial.settings import get_settings
from perennial.training.cross_validation import SettingResult, experiment_folds, gain
from perennial.training.pipelines import parameters_of
from tasks.data.prepare import Dataset
from tasks.experiment.trial import OutOfTimeError, TrialError, tried
from tasks.experiment.workspace import Bench, laid_out
from tasks.tables.base import TextTable

Outcome = Literal["complete", "out of time", "not reached", "failed"]
# Less is not even enough to start a process.
_LEAST_SECONDS = 1.0


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
        yield found


@task(name="explore", task_run_name="explore {name}", cache_policy=NO_CACHE)
def explore(
    problem: Problem, name: str, dataset: Dataset, bench: Bench, parent_run: str, deadline: float
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
    """
    registry = open_registry(get_settings())
    start = time.monotonic()
    budget = min(problem.experiment.candidate_budget.total_seconds(), deadline - start)
    tags = RunTags(kind="explored").as_tags()
    with registry.run(problem.name, name, parent=parent_run, tags=tags) as run_id:
        found: list[SettingResult] = []
        outcome, reason = _try(bench, name, budget, found)
        explored = _explored(problem, name, run_id, outcome, reason, found, bench.n_folds)
        explored = replace(explored, seconds=time.monotonic() - start)
        _log(problem, explored, dataset)
    return explored


def _try(bench: Bench, name: str, budget: float, found: list[SettingResult]) -> tuple[Outcome, str]:
    """Add to what was found until everything is tried; return whether it was, and why not."""
    if budget < _LEAST_SECONDS:
        return "not reached", "the experiment's time was over before it began"
    try:
        for each in tried(bench, name, budget):
            found.append(each)  # noqa: PERF402 - what was found before a failure stays
    except OutOfTimeError:
        return "out of time", f"stopped after {budget:.0f} s"
    except TrialError as error:
        return "failed", str(error)
    return "complete", ""


def _explored(
    problem: Problem,
    name: str,
    run_id: str,
    outcome: Outcome,
    reason: str,
    found: list[SettingResult],
    folds: int,
) -> ExploreResult:
    candidate, experiment = problem.candidates[name], problem.experiment
    settings = experiment.settings_of(name, candidate.estimator, candidate.parameters)
    whole = [each for each in found if each.folds == folds]
    best = max(whole, key=lambda each: gain(problem.metric, each.metrics), default=None)
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
