"""The service gives the labels that the model decides on, and says by which threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sklearn.pipeline import Pipeline

from artifact import Golden
from modeling.calibration import Calibration
from modeling.decided import Decided
from modeling.threshold import weights_of
from registry import Registry
from serving.classify import _answer
from serving.models import load
from tests.conftest import wait_until
from tests.small_models import BAD, GOOD
from versions import TAG, ModelVersion

THRESHOLD = 0.999
CALIBRATION = Calibration(0.5, (0.0, 0.1))


@pytest.fixture
def cautious(models: list[Pipeline]) -> Pipeline:
    """A model that says positive only when it is nearly certain."""
    *steps, (name, classifier) = models[0].steps
    decided = Decided.of(classifier, weights_of(THRESHOLD), CALIBRATION)
    return Pipeline([*steps, (name, decided)])


@pytest.fixture
def version(tracking: Registry, cautious: Pipeline) -> ModelVersion:
    """The cautious model, registered."""
    golden = Golden(
        inputs=(GOOD, BAD),
        classes=tuple(cautious.classes_),
        probabilities=cautious.predict_proba([GOOD, BAD]).tolist(),
    )
    with tracking.run("reviews", "retrain") as run_id:
        tags = {"threshold": str(THRESHOLD)}
        return tracking.register("reviews", run_id, cautious, golden, tags=tags)


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
    version: ModelVersion, tracking: Registry, cautious: Pipeline
) -> None:
    loaded = load(version, tracking.fetch(version), "registry")

    logged = _answer(loaded, [GOOD]).logged(["1"], [GOOD], 0.001)

    assert logged.labels == ["negative"]
    assert logged.probabilities == pytest.approx(cautious.predict_proba([GOOD])[0, :1], abs=1e-9)


def test_a_version_without_a_tuned_threshold_has_none(version: ModelVersion) -> None:
    assert version.threshold == THRESHOLD
    assert replace(version, tags={f"{TAG}threshold": "unknown"}).threshold is None
    assert replace(version, tags={}).threshold is None
