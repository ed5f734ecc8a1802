"""The anchor: the best version so far, below which a series of versions may not sink."""

from __future__ import annotations

import pyarrow as pa
from prefect.logging import get_run_logger

from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.gates.base import Anchor
from perennial.gates.better import BETTER, gain_over
from perennial.metrics import Predictions
from perennial.promotion.verdict import LEAST_UNSEEN, Verdict
from perennial.registry.client import ModelVersion, Registry
from tasks.data.prepare import Holdout
from tasks.promotion.unseen import unseen_by
from tasks.training.train import predict


def find_anchor(
    problem: Problem,
    holdout: Holdout,
    registry: Registry,
    production: ModelVersion,
    challenger: Predictions,
) -> Anchor | None:
    """Return the best version so far, with what it says about today's holdout.

    Parameters
    ----------
    problem : Problem
        The problem.
    holdout : Holdout
        The holdout of the challenger's snapshot.
    registry : Registry
        The model registry.
    production : ModelVersion
        The Production version, which names the anchor.
    challenger : Predictions
        The challenger's predictions for the holdout.

    Returns
    -------
    Anchor or None
        None if it is Production itself.
    """
    number = production.anchor
    if number == production.version:
        return None
    version = registry.find(problem.name, number)
    if version is None:
        return Anchor(number)
    try:
        model = registry.load(version)
        unseen = unseen_by(problem, version, holdout.snapshot, holdout.holdout_keys)
    except OutsideError as error:
        get_run_logger().warning("Version %s cannot be compared any more: %s", number, error)
        return Anchor(number)
    if int(unseen.sum()) < LEAST_UNSEEN:
        return Anchor(number)
    inputs = holdout.holdout_inputs.filter(pa.array(unseen))
    answers = predict(problem, model, inputs, holdout.holdout_labels[unseen])
    return Anchor(number, challenger.take(unseen), answers)


def with_anchor(
    problem: Problem, production: ModelVersion, anchor: Anchor | None, verdict: Verdict
) -> Verdict:
    """Return the verdict with the best version so far, as the challenger's successors will see it.

    That is the challenger itself if it is proved to be better than the best one so far.
    """
    if anchor is None:
        proved = any(gate.name == BETTER and gate.passed for gate in verdict.gates)
        number = production.version
    else:
        gates = problem.gates
        gain = gain_over(anchor, problem.metric, gates.confidence, problem.seed)
        proved, number = gain is not None and gain.low > 0, anchor.version
    return verdict.model_copy(update={"anchor": None if proved else number})
