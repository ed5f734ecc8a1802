"""Confirm: does a challenger that passes every gate show its gain a second time?"""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
from prefect.logging import get_run_logger

from perennial.config.problem import Problem
from perennial.gates.base import GateResult
from perennial.gates.confirmation import (
    CONFIRMATION,
    LEAST_FRESH,
    better_on_fresh,
    not_asked,
    passed_again,
)
from perennial.inputs.base import inputs_of
from perennial.metrics import Interval, difference
from perennial.promotion.confirmation import find_before, find_first, same_candidate
from perennial.promotion.verdict import Verdict
from perennial.registry.client import ModelVersion, Registry
from perennial.splits.split import LABEL
from tasks.data.prepare import Holdout, read_judged
from tasks.promotion.unseen import arrived_after, has_newer_documents, unseen_by
from tasks.training.train import predict


def confirm(
    problem: Problem,
    holdout: Holdout,
    registry: Registry,
    version: ModelVersion,
    production: ModelVersion,
    verdict: Verdict,
    *,
    urgent: bool,
) -> Verdict:
    """Return the verdict on a challenger that passes every gate, with its confirmation.

    Parameters
    ----------
    problem : Problem
        The problem, which says what confirms a challenger.
    holdout : Holdout
        The holdout, with the snapshot that the challenger has learned from.
    registry : Registry
        The model registry.
    version, production : ModelVersion
        The challenger and the Production version.
    verdict : Verdict
        The verdict by every other gate.
    urgent : bool
        Whether a person, or an alarm, has no time for it.

    Raises
    ------
    OutsideError
        If the registry or the snapshots cannot be used.
    """
    if problem.gates.confirm == "none":
        return verdict
    if urgent:
        return verdict.confirmed(not_asked("the retraining is urgent"))
    if problem.gates.confirm == "fresh":
        result = _by_fresh(problem, holdout, registry, version, production)
    else:
        result = _by_next(problem, holdout, registry, version, production, verdict)
    return verdict.confirmed(result)


def keep_confirmation(registry: Registry, version: ModelVersion, verdict: Verdict) -> Verdict:
    """Return the verdict after a person's answer: it was confirmed before the person was asked."""
    now = registry.version(version.problem, version.version)
    results = (gate for gate in now.verdict_gates(GateResult) if gate.name == CONFIRMATION)
    result = next(results, None)
    return verdict if result is None else verdict.confirmed(result)


def _by_next(
    problem: Problem,
    holdout: Holdout,
    registry: Registry,
    version: ModelVersion,
    production: ModelVersion,
    verdict: Verdict,
) -> GateResult:
    found = same_candidate(version, production, registry.newest_first(problem.name))
    before = find_before(found, partial(has_newer_documents, problem, snapshot=holdout.snapshot))
    number = None if before is None else before.version
    passed = before is not None and before.confirmation is not None
    return passed_again(number, passed, production.version, verdict.again)


def _by_fresh(
    problem: Problem,
    holdout: Holdout,
    registry: Registry,
    version: ModelVersion,
    production: ModelVersion,
) -> GateResult:
    found = same_candidate(version, production, registry.newest_first(problem.name))
    first = find_first(found)
    metric, confidence = problem.metric, problem.gates.confidence
    if first is None:
        return better_on_fresh(None, None, 0, metric, confidence)
    documents, gain = _gain_on_fresh(problem, holdout, registry, first, production)
    return better_on_fresh(first.version, gain, documents, metric, confidence)


def _gain_on_fresh(
    problem: Problem,
    holdout: Holdout,
    registry: Registry,
    first: ModelVersion,
    production: ModelVersion,
) -> tuple[int, Interval | None]:
    """Return how many documents have arrived since a version was made, and its gain on them."""
    snapshot, documents = holdout.snapshot, read_judged(problem, holdout.snapshot)
    is_fresh = arrived_after(problem, first, snapshot, documents)
    is_fresh &= unseen_by(problem, production, snapshot, documents)
    documents = documents.filter(pa.array(is_fresh))
    if len(documents) < LEAST_FRESH:
        return len(documents), None
    inputs = documents[inputs_of(problem).column.name].combine_chunks()
    labels = np.asarray(documents[LABEL].to_pylist(), np.str_)
    answers = [
        predict(problem, registry.load(each), inputs, labels) for each in (first, production)
    ]
    gain = difference(
        problem.metric,
        *answers,
        confidence=problem.gates.confidence,
        seed=problem.seed,
    )
    get_run_logger().info(
        "%s documents have arrived since version %s was made.",
        f"{len(documents):,}",
        first.version,
    )
    return len(documents), gain
