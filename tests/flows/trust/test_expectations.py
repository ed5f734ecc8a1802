"""A retraining says when new documents are unlike those that Production has learned from."""

from __future__ import annotations

from typing import Any

import pytest

from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.settings import Settings
from perennial.stores import mongodb
from perennial.stores.measurements import COLLECTION
from tasks.reporting.tables import arrivals_table

pytestmark = pytest.mark.usefixtures("prefect_api")


def _gauges(settings: Settings, problem: Problem, name: str) -> list[dict[str, Any]]:
    with mongodb.connect(settings, problem.name) as client:
        measured = client[problem.source.database][COLLECTION].find_one({"_id": "retrain reviews"})
    assert measured is not None
    return [each for each in measured["figures"] if each["name"] == name]


def test_new_documents_are_compared_with_what_production_has_learned_from(
    problem: Problem,
    collection: Any,
    documents: Any,
    machine: Settings,
) -> None:
    collection.insert_many(documents(400))
    assert retrain("reviews").arrivals is None
    collection.insert_many(documents(60, first=400))

    usual = retrain("reviews").arrivals

    assert usual is not None
    assert (usual.version, usual.documents, usual.surprises) == (1, 60, ())
    assert [row[:2] for row in arrivals_table(usual).rows] == [("all 2", "nothing")]
    odd = documents(60, first=460)
    # Somebody now sends whole pages.
    collection.insert_many([each | {"text": f"{each['text']} " * 12} for each in odd])

    changed = retrain("reviews").arrivals

    assert changed is not None
    (surprise,) = changed.surprises
    assert (surprise.field, surprise.what) == ("text", "outside")
    assert surprise.documents > 50
    (gauge,) = _gauges(machine, problem, "unexpected_documents")
    assert gauge["labels"] == {"field": "text", "what": "outside"}
