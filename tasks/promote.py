"""Promote: the challenger takes over if the verdict says so, in one step."""

from __future__ import annotations

import json

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

import mongodb
import registry
from modeling.decision import Verdict, decide
from modeling.documents import in_holdout
from modeling.problem import Problem
from registry import PREVIOUS, TAG, ModelVersion, Registry, StaleComparisonError
from settings import OutsideError, get_settings
from tasks.evaluate import Evaluation
from tasks.events import Kind, emit
from tasks.failures import NETWORK
from tasks.prepare import Dataset
from tasks.tables import gates_table
from tasks.train import predict

# Each further round means that yet another retraining has promoted in between.
_ROUNDS = 5


@task(name="promote", cache_policy=NO_CACHE, **NETWORK)
def promote(
    problem: Problem, dataset: Dataset, version: ModelVersion, evaluation: Evaluation
) -> Verdict:
    """Compare the challenger with Production on this holdout, now, and act on the verdict.

    Two retrainings that finish together both compare with the Production they see; one moves the
    alias, the other finds that Production has changed, and compares again with the new one.

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
        verdict = _compare(problem, dataset, tracking, version, evaluation, production)
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
    """Tell Prefect's automations and its event feed what became of a challenger."""
    kind: Kind = "version.promoted" if verdict.outcome == "promoted" else "version.kept"
    emit(kind, problem.name, version=verdict.challenger, reason=verdict.reason)


def _compare(
    problem: Problem,
    dataset: Dataset,
    tracking: Registry,
    version: ModelVersion,
    evaluation: Evaluation,
    production: ModelVersion | None,
) -> Verdict:
    """Decide on holdout documents that neither of the two has learned from."""
    if production is None:
        return decide(
            problem, challenger=(version.version, evaluation.predictions), production=None
        )
    unseen = in_holdout(
        dataset.holdout_content, float(production.tags.get(f"{TAG}holdout", problem.holdout))
    )
    model = tracking.load(production)
    opponent = predict(problem, model, dataset.holdout_texts, dataset.holdout_labels)
    return decide(
        problem,
        challenger=(version.version, evaluation.predictions.take(unseen)),
        production=(production.version, opponent.take(unseen)),
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
                tracking.promote(version, expected=production)
    tracking.annotate(
        version,
        description=gates_table(verdict).markdown(),
        tags={
            "verdict": verdict.outcome,
            "verdict.reason": verdict.reason,
            "verdict.compared_with": str(verdict.production),
            "verdict.gates": json.dumps([gate.model_dump() for gate in verdict.gates]),
        },
    )
