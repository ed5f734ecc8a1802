"""Promote: the challenger takes over if the verdict says so, in one step."""

from __future__ import annotations

import json

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

import mongodb
import registry
from modeling.decision import APPROVAL, Approval, Verdict, decide, floor_gates
from modeling.problem import Problem
from registry import PREVIOUS, TAG, ModelVersion, Registry, StaleComparisonError
from settings import OutsideError, get_settings
from tasks import canary
from tasks.evaluate import Evaluation
from tasks.events import Kind, emit
from tasks.evidence import gather, has_newer_documents
from tasks.failures import NETWORK
from tasks.history import note
from tasks.prepare import Dataset
from tasks.refused import refuse_again
from tasks.tables import gates_table
from tasks.train import predict
from tasks.unseen import unseen_by

# What MLflow's database holds of a version's description; its tags hold more.
_DESCRIPTION_CHARACTERS = 5_000
# Each further round means that yet another retraining has promoted in between.
_ROUNDS = 5


@task(name="promote", cache_policy=NO_CACHE, **NETWORK)
def promote(
    problem: Problem,
    dataset: Dataset,
    version: ModelVersion,
    evaluation: Evaluation,
    approval: Approval | None = None,
) -> Verdict:
    """Compare the challenger with Production on this holdout, now, and act on the verdict.

    Two retrainings that finish together both compare with the Production they see; one moves the
    alias, the other finds that Production has changed, and compares again with the new one. So
    does a challenger that a person has approved, whose Production may have changed meanwhile.

    Raises
    ------
    OutsideError
        If MLflow or MongoDB (which keeps the lock) cannot be used.
    """
    tracking = registry.connect(get_settings())
    for _ in range(_ROUNDS):
        production = tracking.production(problem.name)
        if production is not None and production.version == version.version:
            # An earlier try moved the alias and then lost MLflow: its opponent is previous now.
            production = tracking.alias(problem.name, PREVIOUS)
        verdict = _compare(problem, dataset, tracking, version, evaluation, production, approval)
        verdict = refuse_again(tracking, version, verdict)
        try:
            _act(problem, tracking, version, production, verdict)
        except StaleComparisonError:
            get_run_logger().info("Production changed during the comparison; comparing again.")
        else:
            get_run_logger().info(
                "Verdict on version %s: %s (%s).", version.version, verdict.outcome, verdict.reason
            )
            return verdict
    raise OutsideError(
        f"Production of {problem.name!r} changed {_ROUNDS} times during the comparison; "
        "run one retraining of a problem at a time."
    )


def announce(problem: Problem, verdict: Verdict) -> None:
    """Tell Prefect's automations and its event feed what became of a challenger.

    One that begins as a canary is announced by its rollout: when it starts and when it ends.
    """
    if verdict.outcome == "promoted" and canary.is_wanted(problem, verdict.production):
        return
    kind: Kind = "version.promoted" if verdict.outcome == "promoted" else "version.kept"
    emit(kind, problem.name, version=verdict.challenger, reason=verdict.reason)


def _compare(
    problem: Problem,
    dataset: Dataset,
    tracking: Registry,
    version: ModelVersion,
    evaluation: Evaluation,
    production: ModelVersion | None,
    approval: Approval | None,
) -> Verdict:
    """Decide on holdout documents that neither of the two has learned from."""
    floor = evaluation.tuned.floor if evaluation.tuned is not None else None
    further = floor_gates(floor, evaluation.metrics[floor.metric] if floor is not None else None)
    if production is None:
        return decide(
            problem,
            challenger=(version.version, evaluation.predictions),
            production=None,
            evidence=gather(problem, version, evaluation),
            approval=approval,
            further=further,
        )
    unseen = unseen_by(problem, production, dataset.snapshot, dataset.holdout_content)
    if not unseen.any():
        raise OutsideError(
            f"Version {production.version} of {problem.name!r} has learned from all "
            f"{len(unseen):,} holdout documents of snapshot {dataset.snapshot.version}, so nothing "
            "tells which version is better; load labelled documents that are new."
        )
    model = tracking.load(production)
    opponent = predict(problem, model, dataset.holdout_inputs, dataset.holdout_labels)
    return decide(
        problem,
        challenger=(version.version, evaluation.predictions.take(unseen)),
        production=(production.version, opponent.take(unseen)),
        evidence=gather(
            problem,
            version,
            evaluation,
            newer_documents=has_newer_documents(version, production),
            traits=dataset.holdout_traits.filter(pa.array(unseen)),
        ),
        approval=approval,
        further=further,
    )


def _act(
    problem: Problem,
    tracking: Registry,
    version: ModelVersion,
    production: ModelVersion | None,
    verdict: Verdict,
) -> None:
    """Move the alias if the verdict says so, and write the verdict onto the version."""
    if verdict.outcome == "promoted":
        with mongodb.connect(get_settings()) as client:
            database = client[problem.source.database]
            with mongodb.lease(database, f"promote {problem.name}"):
                if canary.is_wanted(problem, production):
                    canary.start(problem, tracking, version, production)
                else:
                    tracking.promote(version, expected=production, note=note(verdict.reason))
    tracking.annotate(
        version,
        description=_describe(problem, verdict),
        tags={
            "verdict": verdict.outcome,
            "verdict.reason": verdict.reason,
            "verdict.compared_with": str(verdict.production),
            "verdict.gates": json.dumps([gate.model_dump() for gate in verdict.gates]),
        },
    )


def _describe(problem: Problem, verdict: Verdict) -> str:
    """Return the verdict for a person who looks at the version in MLflow."""
    text = gates_table(verdict).markdown()
    if verdict.outcome == "kept" and {gate.name for gate in verdict.failed} <= {APPROVAL}:
        text = (
            f"Kept: {verdict.reason}. To promote it by hand: {_by_hand(problem, verdict)}\n\n{text}"
        )
    if len(text) > _DESCRIPTION_CHARACTERS:
        rest = f"... all of it is in the tag {TAG}verdict.gates"
        text = text[: _DESCRIPTION_CHARACTERS - len(rest)] + rest
    return text


def _by_hand(problem: Problem, verdict: Verdict) -> str:
    """Return the command with which a person promotes a challenger that was kept."""
    return f'`python -m flows.rollback {problem.name} --version {verdict.challenger} --why "..."`'
