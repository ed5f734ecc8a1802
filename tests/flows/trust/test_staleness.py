"""A problem says how much its model loses with age."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flows.retrain import retrain
from flows.staleness import staleness
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.registry.client import Registry
from perennial.registry.tags import RunTags

pytestmark = pytest.mark.usefixtures("prefect_api")


def test_older_snapshots_are_learned_from_again_and_judged_on_the_newest_documents(
    problem: Problem,
    collection: Any,
    documents: Any,
    registry: Registry,
    capsys: pytest.CaptureFixture[str],
) -> None:
    collection.insert_many(documents(400))
    retrain("reviews")
    collection.insert_many(documents(600, first=400))
    retrain("reviews")

    proposed = staleness("reviews")

    said = capsys.readouterr().out
    assert "Staleness of" in said
    assert "retrain every" in said or "no loss is proved" in said
    assert proposed is None or proposed > timedelta(0)
    run = registry.find_run(problem.name, RunTags(kind="staleness").as_tags())
    assert run is not None


def test_without_an_older_snapshot_nothing_can_be_said(
    problem: Problem, collection: Any, documents: Any
) -> None:
    collection.insert_many(documents(400))
    retrain("reviews")

    with pytest.raises(OutsideError, match="no two snapshots"):
        staleness("reviews")
