"""Leaving a field out shows what it brings: something, nothing, or harm."""

from __future__ import annotations

from perennial.metrics import Predictions
from perennial.training.ablation import ablate
from tests.perennial.examples import right_at

FULL = right_at(0.9, documents=600, seed=1)
WITHOUT = {
    "age": right_at(0.6, documents=600, seed=2),
    "name": right_at(0.98, documents=600, seed=3),
    "copy": FULL,
}


def _without(field: str) -> Predictions:
    return WITHOUT[field]


def test_fields_are_ordered_by_what_they_bring_and_each_has_a_conclusion() -> None:
    found = ablate("accuracy", list(WITHOUT), FULL, _without, confidence=0.95, seed=1)

    assert [(each.field, each.conclusion) for each in found] == [
        ("age", "better with it"),
        ("copy", "no difference is proved"),
        ("name", "worse with it"),
    ]
    assert found[0].gain.value > 0.2
