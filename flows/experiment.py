"""Experiment: explore candidates widely, once in a while, and name the one that retrainings fit.

perennial experiment sentiment
perennial experiment sentiment --write
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import cast, get_args
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.futures import as_completed
from prefect.task_runners import ThreadPoolTaskRunner

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.engine.connection import connected
from perennial.engine.workers import Engine
from perennial.registry.tags import RunTags
from perennial.settings import get_settings
from perennial.stores.measurements import Gauge, record
from perennial.stores.snapshots.store import Snapshot
from perennial.training.fitting import divided_among
from tasks.data.ingest import ingest
from tasks.data.prepare import Dataset, prepare
from tasks.experiment.baseline import write_baseline
from tasks.experiment.explore import (
    ExploreResult,
    bench,
    choose_best,
    counted,
    explore,
    ranking,
    with_parameters,
)
from tasks.experiment.report import ExperimentResult, compare
from tasks.experiment.trial import Outcome
from tasks.orchestration.connect import connect
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.orchestration.steps import Steps
from tasks.training.evaluate import Evaluation, evaluate
from tasks.training.train import CandidateResult, choose
from tasks.training.tune_threshold import decide
from tasks.training.vectors import vectors_kept


# Candidates wait in threads for a processor, or for workers of the engine.
@flow(
    name="experiment",
    flow_run_name="experiment {problem}",
    task_runner=ThreadPoolTaskRunner(max_workers=64),  # type: ignore[arg-type]
)
def experiment(problem: str = "sentiment", *, write: bool = False) -> ExperimentResult:
    """Compare every candidate of a problem and of its grid, and try the best one on the holdout.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    write : bool
        Write the winner into that file, as the baseline that every retraining fits.
    """
    quiet_prefect_logs()
    steps = Steps()
    path = get_settings().problem_file(problem)
    spec = load_problem(path).for_experiment()

    with steps("connect"):
        registry = connect()
    with steps("ingest"):
        snapshot = ingest(spec).snapshot
    tags = RunTags(kind="experiment", snapshot_digest=snapshot.digest).as_tags()
    with (
        vectors_kept(spec),
        connected(get_settings()) as engine,
        registry.run(spec.name, f"experiment {spec.name}", tags=tags) as run_id,
    ):
        with steps("prepare"):
            dataset = prepare(counted(spec), snapshot)
            spec = dataset.specify(spec)
            registry.log(run_id, params=dataset.split.params, metrics=dataset.split.figures)
        with steps("explore"):
            results = ranking(spec, list(_explore(spec, dataset, run_id, engine)))
        winner = choose_best(spec, results)
        with steps("evaluate"), divided_among(engine):
            evaluation = _evaluate(spec, winner, snapshot)
        if write:
            write_baseline(path, winner.name, _chosen(spec, winner).candidates[winner.name])
        registry.log_snapshot(run_id, snapshot)
        registry.log(run_id, metrics=steps.metrics, tags=RunTags(winner=winner.name).as_tags())
        experimented = ExperimentResult(
            results, winner, evaluation, steps.seconds, steps.processor_seconds, written=write
        )
        compare(spec, run_id, experimented)
    record("experiment", spec, _gauges(spec, experimented))
    return experimented


def _explore(
    spec: Problem, dataset: Dataset, run_id: str, engine: Engine | None
) -> Iterator[ExploreResult]:
    """Yield the candidates as they are done, and say how far the experiment is."""
    logger, names = get_run_logger(), list(spec.candidates)
    budget = spec.experiment.budget.total_seconds()
    deadline = time.monotonic() + budget
    progress = cast(UUID, create_progress_artifact(0.0, f"experiment-{spec.name}-progress"))
    logger.info("Exploring %d candidates, in at most %s.", len(names), _clock(budget))
    best: ExploreResult | None = None
    with bench(spec, dataset) as laid_out:
        futures = [
            explore.submit(spec, name, dataset, laid_out, run_id, deadline, engine)
            for name in names
        ]
        for number, future in enumerate(as_completed(futures), start=1):
            found = future.result()
            best = ranking(spec, [found] if best is None else [best, found])[0]
            logger.info(
                "%d of %d: %s; best so far %s; at most %s left.",
                number,
                len(names),
                found.summary(spec.metric),
                best.name,
                _clock(deadline - time.monotonic()),
            )
            update_progress_artifact(progress, 100 * number / len(names))
            yield found


def _evaluate(spec: Problem, winner: ExploreResult, snapshot: Snapshot) -> Evaluation:
    """Fit the winner on all training documents, as a retraining would, and ask the holdout once."""
    chosen = _chosen(spec, winner)
    dataset = prepare(chosen, snapshot)
    result = CandidateResult(winner.name, winner.run_id, {}, winner.seconds)
    challenger = choose(chosen, dataset, [result])
    if spec.goal is not None:
        challenger = decide(chosen, dataset, challenger)
    return evaluate(chosen, dataset, challenger)


def _chosen(spec: Problem, winner: ExploreResult) -> Problem:
    assert winner.best is not None
    return with_parameters(spec, winner.name, winner.best.parameters)


def _gauges(spec: Problem, experimented: ExperimentResult) -> Iterator[Gauge]:
    found = experimented.evaluation.metrics[spec.metric]
    yield Gauge("experiment_holdout", found.value, {"metric": spec.metric})
    yield Gauge("experiment_seconds", sum(experimented.seconds.values()))
    for outcome in get_args(Outcome):
        count = sum(each.outcome == outcome for each in experimented.results)
        yield Gauge("experiment_candidates", count, {"outcome": outcome})


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(int(seconds), 0), 60)
    return f"{minutes}:{rest:02d} min"


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(experiment)
