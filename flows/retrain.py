"""Retrain: from new documents in MongoDB to a verdict on a new model version.

perennial retrain sentiment
"""

from __future__ import annotations

from prefect import flow, get_run_logger
from prefect.runtime import deployment

from perennial.concurrency import beside
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.registry.client import Registry
from perennial.registry.lost import require_active, why_lost
from perennial.registry.tags import RunTags
from perennial.settings import get_settings
from perennial.stores.measurements import record
from tasks.data.describe import describe
from tasks.data.expectations import check_arrivals, keep_expectations
from tasks.data.ingest import IngestResult, ingest
from tasks.data.prepare import prepare
from tasks.monitoring.holdout_sample import keep_holdout_sample
from tasks.orchestration.connect import connect
from tasks.orchestration.flow_lock import turn
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.orchestration.steps import Steps
from tasks.promotion.approve import ask_in_terminal
from tasks.promotion.promote import announce, promote
from tasks.promotion.questions import close_unanswered
from tasks.reporting.gauges import gauges_of
from tasks.reporting.retraining import Retraining, report
from tasks.training.diagnose import diagnose
from tasks.training.evaluate import evaluate
from tasks.training.preload import get_ready, load_candidates
from tasks.training.register import register
from tasks.training.train import choose, fits_divided, largest_first, train
from tasks.training.tune_threshold import decide
from tasks.training.vectors import vectors_kept


@flow(name="retrain", flow_run_name="retrain {problem}")
def retrain(
    problem: str = "sentiment",
    *,
    rescan: bool = False,
    force: bool = False,
    urgent: bool = False,
    thorough: bool | None = None,
) -> Retraining:
    """Retrain one problem on everything that is in MongoDB by now.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    rescan : bool
        Look for unread documents of any age, not only within the problem's late window.
    force : bool
        Train even when neither documents nor problem have changed.
    urgent : bool
        Promote a challenger that passes every gate without waiting for its confirmation.
    thorough : bool or None
        Look for labels that look wrong, and at what more labels would bring, also where that takes
        minutes; if not said, a run that a deployment starts does, as nobody waits for it.
    """
    quiet_prefect_logs()
    steps = Steps()
    spec = load_problem(get_settings().problem_file(problem)).for_retraining()

    with turn("retrain", spec.name):
        with steps("connect"):
            registry = connect()
            close_unanswered(spec)
        with steps("ingest"):
            ingested = ingest(spec, rescan=rescan)
        aliases = registry.aliases_of(spec.name)
        require_active(spec.name, aliases)
        lost = why_lost(registry, spec.name, aliases)
        if lost is not None:
            get_run_logger().warning("%s The challenger takes its place by the floors.", lost)
        is_known = registry.has_finished(spec.name, _identity(spec, ingested))
        if is_known and lost is None and not force:
            retraining = Retraining(ingested, steps.seconds, steps.processor_seconds)
        else:
            is_thorough = deployment.id is not None if thorough is None else thorough
            with vectors_kept(spec):
                retraining = _learn(
                    spec, ingested, registry, steps, urgent=urgent, thorough=is_thorough
                )
        report(spec, retraining)
        record("retrain", spec, gauges_of(retraining))
    return retraining


def _learn(
    spec: Problem,
    ingested: IngestResult,
    registry: Registry,
    steps: Steps,
    *,
    urgent: bool,
    thorough: bool,
) -> Retraining:
    # It is this run's turn: another one that counts as running was killed.
    registry.end_abandoned(spec.name, "retrain")
    with registry.run(spec.name, f"retrain {spec.name}", tags=_identity(spec, ingested)) as run_id:
        with steps("prepare"):
            dataset = prepare(spec, ingested.snapshot)
            # Rare labels may be left out: from here on these are the problem's classes.
            spec = dataset.problem
            describe(spec, dataset, run_id)
            arrivals = check_arrivals(spec, dataset)
        load_candidates(spec)
        with fits_divided(spec, dataset):
            with steps("train"), beside(get_ready):
                names = largest_first(spec, dataset)
                futures = [train.submit(spec, name, dataset, run_id) for name in names]
                candidates = [future.result() for future in futures]
                challenger = choose(spec, dataset, candidates)
            if spec.goal is not None:
                with steps("decide"):
                    challenger = decide(spec, dataset, challenger)
            with steps("evaluate"):
                evaluation = evaluate(spec, dataset, challenger)
            with steps("diagnose"):
                diagnosis = diagnose(
                    spec, dataset, challenger, evaluation, run_id, thorough=thorough
                )
        with steps("register"):
            version = register(spec, dataset, challenger, evaluation)
            keep_holdout_sample(spec, version, dataset)
            keep_expectations(spec, version, dataset)
        with steps("promote"):
            verdict = promote(spec, dataset, version, evaluation, urgent=urgent)
        if verdict.waits:
            with steps("approve"):
                answer = ask_in_terminal(spec, verdict)
            if answer is not None:
                verdict = promote(spec, dataset, version, evaluation, answer)
        registry.log_snapshot(run_id, ingested.snapshot)
        registry.log(run_id, metrics=steps.metrics, tags=RunTags(verdict=verdict.outcome).as_tags())
    announce(spec, verdict)
    return Retraining(
        ingested,
        steps.seconds,
        steps.processor_seconds,
        candidates,
        evaluation,
        verdict,
        run_id,
        dataset.feedback_documents,
        dataset.split,
        dataset.feedback_left_out,
        dataset.analyzer,
        diagnosis,
        arrivals,
    )


def _identity(spec: Problem, ingested: IngestResult) -> dict[str, str]:
    return RunTags(
        kind="retrain",
        problem_digest=spec.digest,
        snapshot_digest=ingested.snapshot.digest,
    ).as_tags()


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(retrain)
