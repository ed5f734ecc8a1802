"""Paired: what a canary and Production say of the same inputs, and whether that could suffice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from pymongo.database import Database

from perennial import times
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.gates.base import GateResult
from perennial.inputs.base import inputs_of
from perennial.metrics import Predictions
from perennial.promotion.canary_analysis import alpha_of
from perennial.promotion.paired_evidence import Paired, labels_needed
from perennial.registry.client import ModelVersion, Registry
from perennial.settings import get_serving_settings, get_settings
from perennial.stores import mongodb
from perennial.stores.logged_inputs import logged_input
from perennial.stores.prediction_log import Prediction, find_labelled, find_newest
from tasks.training.train import predict

EVIDENCE = "evidence for a canary"
# Enough to know the share of disagreements to about a point; scored within seconds.
_MOST = 5_000
_WEEK = timedelta(days=7)


def compare_on_log(
    problem: Problem,
    registry: Registry,
    log: Database[mongodb.Document],
    canary: ModelVersion,
    production: ModelVersion,
    since: datetime,
) -> Paired:
    """Return what two versions say of the inputs that either has answered since a time.

    Inputs that the log does not keep cannot be scored again, and do not count.

    Parameters
    ----------
    problem : Problem
        The problem.
    registry : Registry
        The model registry.
    log : Database
        The database of the prediction log.
    canary, production : ModelVersion
        The two versions.
    since : datetime
        The time.

    Raises
    ------
    OutsideError
        If the registry or the log cannot be used.
    """
    numbers = (canary.version, production.version)
    answered = [
        entry
        for number in numbers
        for entry in find_newest(log, problem.name, number, since, _MOST)
    ]
    labelled = find_labelled(log, problem.name, numbers, since, _MOST)
    usable = [
        (entry, found)
        for entry in _each_once([*labelled, *answered])
        if (found := logged_input(inputs_of(problem), entry)) is not None
    ]
    if not usable:
        return Paired()
    models = [registry.load(version) for version in (canary, production)]
    known = problem.with_classes([str(label) for label in models[1].classes_])
    inputs = pa.array([found for _, found in usable], inputs_of(known).column.type)
    new, old = (_labels(known, model, inputs) for model in models)
    truth = np.empty(len(usable), np.object_)
    truth[:] = [entry.truth for entry, _ in usable]
    return count(new, old, truth)


def count(canary: Any, production: Any, truth: Any) -> Paired:
    """Return the counts of two versions' labels for the same inputs.

    Parameters
    ----------
    canary, production : ndarray of str, shape (n_inputs,)
        The labels that they give.
    truth : ndarray of object, shape (n_inputs,)
        The true labels; None where nobody has told them.
    """
    differ = canary != production
    known = differ & np.array([label is not None for label in truth], np.bool_)
    return Paired(
        len(truth),
        int(differ.sum()),
        int(known.sum()),
        int((production[known] == truth[known]).sum()),
        int((canary[known] == truth[known]).sum()),
    )


def foresee(
    problem: Problem, challenger: Predictions, production: Predictions, labels_a_day: float
) -> GateResult | None:
    """Return whether a rollout could exclude the fall that must be seen; None if none must be.

    Parameters
    ----------
    problem : Problem
        The problem.
    challenger, production : Predictions
        What both say of the holdout: as often they will disagree on requests.
    labels_a_day : float
        How many answers get feedback.
    """
    rollout = problem.rollout
    if rollout.mode != "canary" or rollout.must_see is None:
        return None
    share = float((challenger.predicted != production.predicted).mean())
    needed = labels_needed(share, rollout.must_see, alpha_of(rollout))
    days = rollout.at_most / timedelta(days=1)
    coming = int(labels_a_day * days * share)
    return GateResult(
        name=EVIDENCE,
        passed=coming >= needed,
        found=f"about {coming:,} labels within {days:g} days of inputs on which the versions "
        f"disagree ({share:.1%} of the holdout, {labels_a_day:.3g} labels a day)",
        required=f"{needed:,}, to exclude a fall of {rollout.must_see:g} in accuracy; send more "
        "feedback, above all on inputs that both versions answer differently, or give "
        "rollout.at_most more time",
    )


def labels_a_day(problem: Problem, production: ModelVersion) -> float:
    """Return how many of Production's answers of the last week got feedback, per day.

    None are expected where the log cannot be read.
    """
    now = datetime.now(UTC)
    begun = production.since("production")
    since = times.before(now, _WEEK) if begun is None else max(begun, times.before(now, _WEEK))
    try:
        with mongodb.connect(get_settings()) as client:
            log = client[get_serving_settings().log_database]
            found = find_labelled(log, problem.name, (production.version,), since, _MOST)
    except OutsideError:
        return 0.0
    days = max((now - since) / timedelta(days=1), 1.0)
    return len(found) / days


def _each_once(entries: Sequence[Prediction]) -> list[Prediction]:
    """Return one entry for each input, and for each key of a request: the first of them."""
    once: dict[str, Prediction] = {}
    keys: set[str] = set()
    for entry in entries:
        name = repr(entry.input)
        if entry.input is None or name in once or entry.key in keys:
            continue
        once[name] = entry
        if entry.key is not None:
            keys.add(entry.key)
    return list(once.values())


def _labels(problem: Problem, model: Any, inputs: pa.Array) -> Any:
    some = np.full(len(inputs), problem.classes[0])
    said = predict(problem, model, inputs, some)
    return np.asarray(problem.classes)[said.predicted]
