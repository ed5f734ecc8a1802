"""Promote: the challenger takes over if the verdict says so, in one step."""

from __future__ import annotations

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.gates.approval import Approval
from perennial.gates.base import Comparison
from perennial.gates.catalogue import look_up
from perennial.promotion.verdict import (
    LEAST_UNSEEN,
    Verdict,
    VerdictOutcome,
    lack_of_evidence,
    reach_verdict,
)
from perennial.registry.client import (
    PREVIOUS,
    ModelVersion,
    Registry,
    StaleComparisonError,
    open_registry,
)
from perennial.settings import get_settings
from tasks.data.prepare import Holdout
from tasks.orchestration.events import Kind, emit
from tasks.orchestration.retries import NETWORK
from tasks.production.history import note
from tasks.production.lock import production_lock
from tasks.promotion import questions
from tasks.promotion.anchor import find_anchor, with_anchor
from tasks.promotion.confirm import confirm, keep_confirmation
from tasks.promotion.feedback import feedback_agreements
from tasks.promotion.since import measure_since
from tasks.promotion.unseen import has_newer_documents, unseen_by
from tasks.promotion.verdicts import write_verdict
from tasks.rollout import canary
from tasks.rollout.paired import foresee, labels_a_day
from tasks.training.evaluate import Evaluation
from tasks.training.train import predict

# Each further round means that yet another retraining has promoted in between.
_ROUNDS = 5
_EVENTS: dict[VerdictOutcome, Kind] = {
    "promoted": "version.promoted",
    "kept": "version.kept",
    "waiting": "version.waiting",
}


@task(name="promote", cache_policy=NO_CACHE, **NETWORK)
def promote(
    problem: Problem,
    holdout: Holdout,
    version: ModelVersion,
    evaluation: Evaluation,
    approval: Approval | None = None,
    *,
    urgent: bool = False,
) -> Verdict:
    """Compare the challenger with Production on this holdout, now, and act on the verdict.

    One that needs a person's answer, and has none yet, waits for it in the registry.

    Two retrainings that finish together both compare with the Production they see; one moves the
    alias, the other finds that Production has changed, and compares again with the new one. So
    does a challenger that a person has approved, whose Production may have changed meanwhile.

    One that passes is confirmed before it takes over, unless it is `urgent`.

    Raises
    ------
    OutsideError
        If MLflow or MongoDB (which keeps the lock) cannot be used, or if there is an approval and
        the version does not wait for it any more.
    """
    registry = open_registry(get_settings())
    for _ in range(_ROUNDS):
        production = registry.production(problem.name)
        if production is not None and production.version == version.version:
            # An earlier try moved the alias and then lost MLflow: its opponent is previous now.
            production = registry.alias(problem.name, PREVIOUS)
        named = production
        if production is not None and not registry.is_stored(production):
            # Its model was deleted: there is nothing left to compare with.
            production = None
        verdict = _judge(problem, holdout, registry, version, evaluation, production, approval)
        if production is not None and verdict.is_passed:
            if approval is not None:
                verdict = keep_confirmation(registry, version, verdict)
            else:
                verdict = confirm(
                    problem, holdout, registry, version, production, verdict, urgent=urgent
                )
        try:
            verdict = _act(problem, registry, version, named, verdict, approval)
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
    """Send the event of a verdict to Prefect, for its automations and its event feed.

    One that begins as a canary is announced by its rollout: when it starts and when it ends.
    """
    if verdict.outcome == "promoted" and canary.is_wanted(problem, verdict.production):
        return
    reason = questions.describe(problem.name, verdict) if verdict.waits else verdict.reason
    emit(_EVENTS[verdict.outcome], problem.name, version=verdict.challenger, reason=reason)


def _judge(
    problem: Problem,
    holdout: Holdout,
    registry: Registry,
    version: ModelVersion,
    evaluation: Evaluation,
    production: ModelVersion | None,
    approval: Approval | None,
) -> Verdict:
    """Return the verdict by holdout documents that neither version has learned from."""
    if production is None:
        comparison = Comparison(registry, version)
        return reach_verdict(
            problem,
            challenger=(version.version, evaluation.predictions),
            production=None,
            measured={**evaluation.measured, **look_up(problem.gates, comparison)},
            approval=approval,
            simpler=evaluation.simpler,
        )
    unseen = unseen_by(problem, production, holdout.snapshot, holdout.holdout_keys)
    left = int(unseen.sum())
    # A small holdout is a gate of its own; here Production knows most of it.
    if left < min(LEAST_UNSEEN, len(unseen)):
        verdict = lack_of_evidence(
            problem,
            challenger=version.version,
            production=production.version,
            unseen=left,
            holdout=len(unseen),
        )
        return verdict if approval is None else verdict.answered(approval)
    model = registry.load(production)
    opponent = predict(problem, model, holdout.holdout_inputs, holdout.holdout_labels)
    traits = holdout.holdout_traits.filter(pa.array(unseen))
    agreements = feedback_agreements(problem, holdout, production, model)
    newer = anchor = None
    if problem.gates.not_worse is not None:
        newer = has_newer_documents(problem, production, holdout.snapshot)
        anchor = find_anchor(problem, holdout, registry, production, evaluation.predictions)
    comparison = Comparison(registry, version, production, traits, agreements, newer, anchor)
    verdict = reach_verdict(
        problem,
        challenger=(version.version, evaluation.predictions.take(unseen)),
        production=(production.version, opponent.take(unseen)),
        measured={**evaluation.measured, **look_up(problem.gates, comparison)},
        approval=approval,
        simpler={name: each.take(unseen) for name, each in evaluation.simpler.items()},
    )
    since = measure_since(problem, holdout, registry, production, opponent, unseen)
    verdict = verdict.model_copy(update={"since": since})
    if verdict.is_passed and problem.rollout.must_see is not None:
        both = evaluation.predictions.take(unseen), opponent.take(unseen)
        result = foresee(problem, *both, labels_a_day(problem, production))
        verdict = verdict if result is None else verdict.with_gate(result)
    if problem.gates.not_worse is None:
        return verdict
    return with_anchor(problem, production, anchor, verdict)


def _act(
    problem: Problem,
    registry: Registry,
    version: ModelVersion,
    production: ModelVersion | None,
    verdict: Verdict,
    approval: Approval | None,
) -> Verdict:
    """Move the alias or ask a person if the verdict says so, and write it onto the version."""
    if verdict.outcome == "kept" and approval is None:
        write_verdict(registry, version, verdict)
        return verdict
    with production_lock(problem):
        if approval is not None:
            questions.require_open(registry, version, approval)
        if verdict.outcome == "promoted":
            _move(problem, registry, version, production, verdict, approval)
        if verdict.waits:
            return questions.ask(problem, registry, version, production, verdict)
        if approval is not None:
            questions.close(registry, version, verdict, approval)
            return verdict
    # Others need not wait for this.
    write_verdict(registry, version, verdict)
    return verdict


def _move(
    problem: Problem,
    registry: Registry,
    version: ModelVersion,
    production: ModelVersion | None,
    verdict: Verdict,
    approval: Approval | None,
) -> None:
    """Let the version follow Production, or begin as a canary."""
    # Where the verdict had no opponent, the one that the alias names is lost.
    if verdict.production is not None and canary.is_wanted(problem, production):
        canary.start(problem, registry, version, production)
        return
    why = note(verdict.reason)
    if approval is not None:
        why = note(f"{verdict.reason}; {approval}", approval.by)
    registry.promote(version, expected=production, note=why)
