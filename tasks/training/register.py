"""Register: the challenger as a new version, with golden examples to recognise it by."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from sklearn.pipeline import Pipeline

from perennial.config.problem import Problem
from perennial.inputs.base import inputs_of
from perennial.promotion.confirmation import specification_of
from perennial.registry.artifact import Golden
from perennial.registry.client import ModelVersion, open_registry
from perennial.registry.tags import VersionTags
from perennial.settings import get_settings
from tasks.data.prepare import Dataset
from tasks.orchestration.retries import NETWORK
from tasks.training.evaluate import Evaluation
from tasks.training.recipe import record_recipe
from tasks.training.train import Challenger

_GOLDEN_EXAMPLES = 20


@task(name="register", cache_policy=NO_CACHE, **NETWORK)
def register(
    problem: Problem, dataset: Dataset, challenger: Challenger, evaluation: Evaluation
) -> ModelVersion:
    """Store the challenger in the registry; it is not Production by that."""
    golden = choose_golden(challenger.model, dataset, evaluation)
    registry = open_registry(get_settings())
    record_recipe(registry, problem, challenger, evaluation.predictions)
    version = registry.register(
        problem.name,
        challenger.result.run_id,
        challenger.model,
        golden,
        tags=_facts(problem, dataset, challenger, evaluation).as_tags(),
    )
    get_run_logger().info("Registered %s version %s.", problem.name, version.version)
    return version


def _facts(
    problem: Problem, dataset: Dataset, challenger: Challenger, evaluation: Evaluation
) -> VersionTags:
    """Return what is written onto the version."""
    fields, floor, snapshot = inputs_of(problem).fields, evaluation.floor, dataset.snapshot
    threshold, weights = _decision(challenger)
    return VersionTags(
        candidate=challenger.result.name,
        specification=specification_of(problem, challenger.result.name),
        problem_digest=problem.digest,
        holdout=problem.holdout,
        split=problem.split.by,
        split_field=problem.split.field,
        split_cut=dataset.split.cut,
        rare_labels=_rare_labels(problem),
        feedback=problem.feedback.use,
        feedback_documents=dataset.feedback_documents,
        threshold=threshold,
        weights=weights,
        # What a later comparison cannot find out again.
        floor=None if floor is None else asdict(floor),
        snapshot=(snapshot.version, snapshot.digest),
        fields=None if fields is None else dict(fields),
        predicted_shares=_predicted_shares(evaluation),
        metrics=evaluation.metrics,
    )


def _rare_labels(problem: Problem) -> dict[str, object] | None:
    policy = problem.rare_labels
    return None if policy is None else policy.model_dump(mode="json", exclude_none=True)


def _decision(challenger: Challenger) -> tuple[float | None, dict[str, float] | None]:
    """Return threshold and weights by which probabilities become labels, one of them at most."""
    tuned = challenger.tuned
    if tuned is None or tuned.weights is None:
        return None, None
    if tuned.threshold is not None:
        return tuned.threshold, None
    return None, dict(zip(tuned.out_of_fold.classes, tuned.weights, strict=True))


def _predicted_shares(evaluation: Evaluation) -> dict[str, float]:
    """Return how often the challenger predicts each label for the holdout."""
    seen = evaluation.predictions
    counts = np.bincount(seen.predicted, minlength=len(seen.classes))
    return dict(zip(seen.classes, (counts / len(seen)).round(6).tolist(), strict=True))


def choose_golden(model: Pipeline, dataset: Dataset, evaluation: Evaluation) -> Golden:
    """Take holdout documents over the whole range of probabilities, from one end to the other."""
    order = np.argsort(evaluation.predictions.probabilities[:, -1], kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, _GOLDEN_EXAMPLES).astype(int)]
    inputs = dataset.holdout_inputs.take(chosen).to_pylist()
    # Scored alone: sums over a row must not depend on the rows around it, and this would show it.
    return Golden(
        inputs=inputs,
        classes=tuple(str(label) for label in model.classes_),
        probabilities=model.predict_proba(inputs).tolist(),
    )
