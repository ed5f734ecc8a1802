"""Retrain: from new documents in MongoDB to a verdict on a new model version.

python -m flows.retrain sentiment
"""

from __future__ import annotations

from prefect import flow

from flows.steps import Steps
from modeling.ahead import beside
from modeling.candidates import check_candidates
from modeling.problem import Problem
from modeling.problem_file import load_problem
from registry import Registry
from settings import get_settings
from tasks.approve import ask_in_terminal
from tasks.beforehand import get_ready
from tasks.connect import connect
from tasks.decide import decide
from tasks.describe import describe
from tasks.evaluate import evaluate
from tasks.failures import log_briefly
from tasks.figures import figures_of
from tasks.ingest import Ingested, ingest
from tasks.measurements import record
from tasks.prepare import prepare
from tasks.promote import announce, promote
from tasks.questions import close_unanswered
from tasks.register import register
from tasks.report import Retraining, report
from tasks.train import choose, largest_first, train
from tasks.turns import turn


@flow(name="retrain", flow_run_name="retrain {problem}")
def retrain(problem: str = "sentiment", *, rescan: bool = False, force: bool = False) -> Retraining:
    """Retrain one problem on everything that is in MongoDB by now.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    rescan : bool
        Look for unread documents of any age, not only within the problem's late window.
    force : bool
        Train even when neither documents nor problem have changed.
    """
    log_briefly()
    steps = Steps()
    spec = load_problem(get_settings().problems_dir / f"{problem}.yaml").retrained
    check_candidates(spec)

    with turn("retrain", spec.name):
        with steps("connect"):
            tracking = connect()
            close_unanswered(spec)
        with steps("ingest"):
            ingested = ingest(spec, rescan=rescan)
        if tracking.has_finished(spec.name, _identity(spec, ingested)) and not force:
            retraining = Retraining(ingested, steps.seconds)
        else:
            retraining = _learn(spec, ingested, tracking, steps)
        report(spec, retraining)
        record("retrain", spec, figures_of(retraining))
    return retraining


def _learn(spec: Problem, ingested: Ingested, tracking: Registry, steps: Steps) -> Retraining:
    # It is this run's turn: another one that counts as running was killed.
    tracking.end_abandoned(spec.name, "retrain")
    with tracking.run(spec.name, f"retrain {spec.name}", tags=_identity(spec, ingested)) as run_id:
        with steps("prepare"):
            dataset = prepare(spec, ingested.snapshot)
            describe(spec, dataset, run_id)
        with steps("train"), beside(get_ready):
            names = largest_first(spec, dataset)
            futures = [train.submit(spec, name, dataset, run_id) for name in names]
            candidates = [future.result() for future in futures]
            challenger = choose(spec, dataset, candidates)
        if spec.decision is not None:
            with steps("decide"):
                challenger = decide(spec, dataset, challenger)
        with steps("evaluate"):
            evaluation = evaluate(spec, dataset, challenger)
        with steps("register"):
            version = register(spec, dataset, challenger, evaluation)
        with steps("promote"):
            verdict = promote(spec, dataset, version, evaluation)
        if verdict.waits:
            with steps("approve"):
                answer = ask_in_terminal(spec, verdict)
            if answer is not None:
                verdict = promote(spec, dataset, version, evaluation, answer)
        tracking.log_snapshot(run_id, ingested.snapshot)
        tracking.log(run_id, metrics=steps.metrics, tags={"verdict": verdict.outcome})
    announce(spec, verdict)
    return Retraining(
        ingested,
        steps.seconds,
        candidates,
        evaluation,
        verdict,
        run_id,
        dataset.feedback_documents,
    )


def _identity(spec: Problem, ingested: Ingested) -> dict[str, str]:
    return {
        "kind": "retrain",
        "problem_digest": spec.digest,
        "snapshot_digest": ingested.snapshot.digest,
    }


if __name__ == "__main__":
    from flows.cli import main

    main(retrain)
