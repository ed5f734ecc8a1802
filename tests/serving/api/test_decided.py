"""The service gives the labels that the model decides on, and says by which threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sklearn.pipeline import Pipeline

from perennial.classifiers.threshold_classifier import ThresholdClassifier
from perennial.registry.artifact import Golden
from perennial.registry.client import Registry
from perennial.registry.model_version import ModelVersion
from perennial.registry.tags import TAG
from perennial.thresholds.calibration import Calibration
from perennial.thresholds.threshold import weights_of
from serving.api import scoring
from serving.models.loaded import load
from tests.conftest import wait_until
from tests.small_models import BAD, GOOD

THRESHOLD = 0.999
CALIBRATION = Calibration(0.5, (0.0, 0.1))


@pytest.fixture
def cautious(models: list[Pipeline]) -> Pipeline:
    """A model that says positive only when it is nearly certain."""
    *steps, (name, classifier) = models[0].steps
    decided = ThresholdClassifier.from_fitted(classifier, weights_of(THRESHOLD), CALIBRATION)
    return Pipeline([*steps, (name, decided)])


@pytest.fixture
def version(registry: Registry, cautious: Pipeline) -> ModelVersion:
    """The cautious model, registered."""
    golden = Golden(
        inputs=(GOOD, BAD),
        classes=tuple(cautious.classes_),
        probabilities=cautious.predict_proba([GOOD, BAD]).tolist(),
    )
    with registry.run("reviews", "retrain") as run_id:
        tags = {"threshold": str(THRESHOLD)}
        return registry.register("reviews", run_id, cautious, golden, tags=tags)


def test_a_label_is_given_only_above_the_threshold_that_models_tells(
    version: ModelVersion,
    cautious: Pipeline,
    promote: Callable[[ModelVersion], None],
    serve: Callable[..., Any],
) -> None:
    promote(version)
    _, client = serve()
    wait_until(lambda: client.get("/readyz").status_code == 200, "the service is ready")

    answer = client.post("/classify", json={"inputs": [GOOD, BAD]}).json()["predictions"]

    assert [each["label"] for each in answer] == ["negative", "negative"]
    probability = answer[0]["probabilities"]["positive"]
    assert probability == pytest.approx(cautious.predict_proba([GOOD])[0, 1], abs=1e-9)
    assert 0.5 < probability < THRESHOLD
    (served,) = client.get("/models").json()["models"]
    assert served["versions"][0]["threshold"] == THRESHOLD


def test_the_log_keeps_the_probability_of_the_label_and_not_the_largest(
    version: ModelVersion, registry: Registry, cautious: Pipeline
) -> None:
    loaded = load(version, registry.fetch(version), "registry")

    logged = scoring.answer(loaded, [GOOD]).logged(["1"], [GOOD], 0.001)

    assert logged.labels == ["negative"]
    assert logged.probabilities == pytest.approx(cautious.predict_proba([GOOD])[0, :1], abs=1e-9)


def test_a_version_without_a_tuned_threshold_has_none(version: ModelVersion) -> None:
    assert version.threshold == THRESHOLD
    assert replace(version, tags={f"{TAG}threshold": "unknown"}).threshold is None
    assert replace(version, tags={}).threshold is None


def test_the_log_keeps_a_digest_of_the_key_of_a_request_and_not_the_key(
    version: ModelVersion, registry: Registry
) -> None:
    answer = scoring.answer(load(version, registry.fetch(version), "registry"), [GOOD])

    one, same, other, none = (
        answer.logged(["1"], [GOOD], 0.001, key).documents(with_texts=True)[0]
        for key in (b"customer-7", b"customer-7", b"customer-8", None)
    )

    assert one["key"] == same["key"] != other["key"]
    assert "customer" not in one["key"]
    assert "key" not in none
