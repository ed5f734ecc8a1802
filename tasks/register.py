"""Register: the challenger as a new version, with golden examples to recognise it by."""

from __future__ import annotations

import json

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from sklearn.pipeline import Pipeline

import registry
from artifact import Golden
from modeling.problem import Problem
from registry import ModelVersion
from settings import get_settings
from tasks.evaluate import Evaluation
from tasks.failures import NETWORK
from tasks.prepare import Dataset
from tasks.train import Challenger

_GOLDEN_EXAMPLES = 20


@task(name="register", cache_policy=NO_CACHE, **NETWORK)
def register(
    problem: Problem, dataset: Dataset, challenger: Challenger, evaluation: Evaluation
) -> ModelVersion:
    """Store the challenger in the registry; it is not Production by that."""
    golden = choose_golden(challenger.model, dataset, evaluation)
    snapshot = dataset.snapshot
    version = registry.connect(get_settings()).register(
        problem.name,
        challenger.result.run_id,
        challenger.model,
        golden,
        tags={
            "candidate": challenger.result.name,
            "problem_digest": problem.digest,
            "holdout": str(problem.holdout),
            "snapshot_version": str(snapshot.version),
            "snapshot_digest": snapshot.digest,
            "predicted_shares": json.dumps(_predicted_shares(evaluation)),
            **{f"holdout.{name}": str(found) for name, found in evaluation.metrics.items()},
        },
    )
    get_run_logger().info("Registered %s version %s.", problem.name, version.version)
    return version


def _predicted_shares(evaluation: Evaluation) -> dict[str, float]:
    """Return how often the challenger predicts each label for the holdout."""
    seen = evaluation.predictions
    counts = np.bincount(seen.predicted, minlength=len(seen.classes))
    return dict(zip(seen.classes, (counts / len(seen)).round(6).tolist(), strict=True))


def choose_golden(model: Pipeline, dataset: Dataset, evaluation: Evaluation) -> Golden:
    """Take holdout documents over the whole range of probabilities, from one end to the other."""
    order = np.argsort(evaluation.predictions.probabilities[:, -1], kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, _GOLDEN_EXAMPLES).astype(int)]
    texts = dataset.holdout_texts.take(chosen).to_pylist()
    # Scored alone: sums over a row must not depend on the rows around it, and this would show it.
    return Golden(
        inputs=texts,
        classes=tuple(str(label) for label in model.classes_),
        probabilities=model.predict_proba(texts).tolist(),
    )
