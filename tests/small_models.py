"""Models of the small problem, fitted on real short reviews, and a registry that has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline

from perennial.config.problem import Problem
from perennial.registry.artifact import Golden
from perennial.settings import Settings
from perennial.training.pipelines import assemble, build_classifier, build_counter, build_normalizer
from tests.conftest import SMALL_PROBLEM, forget_mlflow

GOOD = "a warm , funny and touching film with a wonderful cast"
BAD = "a dull , boring and stupid mess that wastes its cast"
_CANDIDATE = "tfidf-logistic"


def fit_small(reviews: Sequence[tuple[str, int]]) -> Pipeline:
    """Return a model of these texts with their labels."""
    problem = Problem.model_validate(
        {"name": "reviews", **SMALL_PROBLEM, "source": {"database": "d", "collection": "c"}}
    )
    texts, labels = zip(*reviews, strict=True)
    candidate = problem.candidates[_CANDIDATE]
    normalizer, counter = build_normalizer(problem, candidate), build_counter(candidate.features)
    matrix = counter.fit_transform(normalizer.transform(list(texts)))
    names = np.array([problem.classes[label] for label in labels])
    return assemble(normalizer, counter, build_classifier(problem, _CANDIDATE).fit(matrix, names))


def register_small(
    folder: Path, models: Sequence[Pipeline], tags: Mapping[str, str] | None = None
) -> Path:
    """Register models as versions without an alias; return MLflow's database in that folder."""
    from perennial.registry.client import open_registry

    settings = Settings(data_dir=folder)
    registry = open_registry(settings)
    for model in models:
        golden = Golden(
            inputs=(GOOD, BAD),
            classes=tuple(model.classes_),
            probabilities=model.predict_proba([GOOD, BAD]).tolist(),
        )
        with registry.run("reviews", "retrain") as run_id:
            registry.register("reviews", run_id, model, golden, tags=tags or {})
    forget_mlflow()
    return settings.data_dir / "mlflow" / "mlflow.db"
