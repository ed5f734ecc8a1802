"""What two versions say of the same logged inputs, and whether a rollout could suffice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from perennial.config.problem import Problem
from perennial.config.sections.rollout import Rollout
from perennial.registry.client import ModelVersion, Registry, open_registry
from perennial.settings import Settings, get_serving_settings, get_settings
from perennial.stores import mongodb
from perennial.stores.prediction_log import Logged, open_predictions
from tasks.rollout.paired import EVIDENCE, compare_on_log, count, foresee, labels_a_day
from tests.perennial.examples import right_at
from tests.small_models import BAD, GOOD, fit_small, register_small

SEEN = Rollout.model_validate({"mode": "canary", "must_see": 0.05})
A_DAY_AGO = timedelta(days=1)


def test_only_disagreements_with_a_truth_say_who_is_right() -> None:
    canary = np.array(["a", "b", "b", "a", "c"])
    production = np.array(["a", "a", "a", "b", "b"])
    truth = np.array(["a", "a", None, "a", "a"], np.object_)

    found = count(canary, production, truth)

    assert (found.inputs, found.disagreements, found.labelled) == (5, 4, 3)
    assert (found.lost, found.won) == (1, 1)


def test_a_rollout_that_could_not_see_the_fall_says_so_before_it_starts(
    write_problem: Callable[..., Problem],
) -> None:
    problem = write_problem()
    asking = problem.model_copy(update={"rollout": SEEN})
    both = right_at(0.9, documents=600, seed=1), right_at(0.9, documents=600, seed=2)

    few, many = foresee(asking, *both, 1.0), foresee(asking, *both, 1_000.0)

    assert few is not None
    assert many is not None
    assert (few.name, few.passed, many.passed) == (EVIDENCE, False, True)
    assert "send more feedback" in few.required
    assert foresee(problem, *both, 0.0) is None


@pytest.fixture
def log(machine: Settings) -> Any:
    with mongodb.connect(get_settings()) as client:
        database = client[get_serving_settings().log_database]
        open_predictions(database).drop()
        yield database


def two_versions(machine: Settings) -> tuple[Registry, list[ModelVersion]]:
    """Return the registry with two versions that are the same model."""
    model = fit_small([(GOOD, 1), (BAD, 0)] * 10)
    register_small(machine.data_dir, [model, model])
    registry = open_registry(machine)
    return registry, [registry.version("reviews", number) for number in (1, 2)]


def write(log: Any, version: int, texts: list[str], truth: str | None, key: str | None) -> None:
    now = datetime.now(UTC)
    ids = [f"{version} {text} {key}" for text in texts]
    labels = ["positive"] * len(texts)
    logged = Logged(
        now.timestamp(), "reviews", version, ids, labels, [0.9] * len(texts), texts, 0.001, key
    )
    documents = logged.documents(with_texts=True)
    if truth is not None:
        for document in documents:
            document["feedback"] = {"label": truth, "created_at": now}
    open_predictions(log).insert_many(documents)


def test_inputs_and_keys_that_come_again_count_once(
    log: Any, machine: Settings, write_problem: Callable[..., Problem]
) -> None:
    problem = write_problem()
    registry, (one, other) = two_versions(machine)
    since = datetime.now(UTC) - A_DAY_AGO
    write(log, other.version, ["good film", "bad film"], None, None)
    write(log, one.version, ["good film"], "positive", None)
    write(log, one.version, [f"film {number}" for number in range(5)], None, "one sender")

    found = compare_on_log(problem, registry, log, one, other, since)

    assert found.inputs == 3
    assert found.disagreements == 0


def test_labels_of_a_week_are_those_to_be_expected(
    log: Any, machine: Settings, write_problem: Callable[..., Problem]
) -> None:
    problem = write_problem()
    registry, (version, _) = two_versions(machine)
    registry.promote(version, expected=None)

    assert labels_a_day(problem, registry.version("reviews", version.version)) == 0.0

    write(log, version.version, [f"text {number}" for number in range(7)], "positive", None)

    assert labels_a_day(problem, registry.version("reviews", version.version)) == 7.0
