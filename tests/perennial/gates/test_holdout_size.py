"""A verdict may ask for enough holdout documents, in all and of each label."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from perennial.config.problem import Problem
from perennial.config.sections.gates import Gates
from perennial.metrics import Predictions
from tests.perennial.gates.gated import FAIR, GOOD, asking, named, verdict


def with_labels(negative: int, positive: int) -> Predictions:
    """Return predictions that are always right, about so many documents of each label."""
    truth = np.repeat([0, 1], [negative, positive])
    return Predictions(("negative", "positive"), truth, truth, np.eye(2)[truth])


@pytest.mark.parametrize(
    ("predictions", "found"),
    [
        (with_labels(50, 49), "99 documents"),
        (with_labels(1181, 19), "1,200 documents, 19 of positive"),
        (with_labels(0, 1200), "1,200 documents, 0 of negative"),
        (with_labels(12, 13), "25 documents, 12 of negative, 13 of positive"),
    ],
    ids=["too few", "one label is rare", "one label is absent", "all of it"],
)
def test_a_challenger_that_is_judged_by_too_few_documents_is_kept_out(
    predictions: Predictions, found: str, problem: Problem
) -> None:
    asked = asking(problem, holdout_size={"documents": 100, "of_each_label": 20})

    given = verdict(asked, predictions)

    assert given.outcome == "kept"
    assert given.reason == (f"holdout size: {found}, required 100 documents, 20 of each label")


def test_enough_documents_are_as_many_as_the_file_says(problem: Problem) -> None:
    asked = asking(problem, holdout_size={"documents": 100, "of_each_label": 20})

    found = verdict(asked, with_labels(80, 20))

    assert found.outcome == "promoted"
    assert named(found, "holdout size").found == "100 documents"


def test_only_documents_count_that_both_versions_predict(problem: Problem) -> None:
    unseen = np.arange(len(GOOD)) % 10 == 0
    asked = asking(problem, holdout_size={"documents": 100})

    assert verdict(asked, GOOD, FAIR).outcome == "promoted"
    assert (
        "holdout size: 60 documents" in verdict(asked, GOOD.take(unseen), FAIR.take(unseen)).reason
    )


def test_one_document_of_each_label_is_the_least(problem: Problem) -> None:
    only_positive = replace(GOOD, truth=np.ones_like(GOOD.truth))

    found = verdict(asking(problem, holdout_size={"documents": 1}), only_positive)

    assert found.reason.startswith("holdout size: 600 documents, 0 of negative, required")


def test_nothing_is_asked_unless_the_file_does(problem: Problem) -> None:
    found = verdict(asking(problem), with_labels(1, 1))

    assert found.outcome == "promoted"
    assert "holdout size" not in [gate.name for gate in found.gates]
    assert "holdout_size" not in Gates().model_dump()


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ({"documents": 0}, "greater than or equal to 1"),
        ({"documents": 10, "of_each_label": 0}, "greater than or equal to 1"),
        ({"of_each_label": 10}, "Field required"),
        ({"documents": 10, "of_label": 10}, "Extra inputs"),
    ],
)
def test_a_size_that_makes_no_sense_is_refused(size: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Gates.model_validate({"holdout_size": size})
