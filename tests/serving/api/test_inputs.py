"""Inputs of a request, one by one: nested or flat, used or refused by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from perennial.registry.model_version import ModelVersion
from serving.api.inputs import Checked, check_inputs
from serving.models.loaded import Loaded

FIELDS = {"address.city": "category", "size.width": "number", "wild": "boolean"}
FLAT = {"address.city": "Paris", "size.width": 2.0, "wild": True}
NESTED = {"address": {"city": "Paris"}, "size": {"width": 2}, "wild": True}


def check(*inputs: Any, fields: dict[str, str] | None = FIELDS) -> Checked:
    version = ModelVersion("plants", 1, "run", {})
    predictor: Any = None
    loaded = Loaded(version, predictor, "registry", fields, fields or ())
    return check_inputs(list(inputs), loaded, max_characters=10)


def test_a_nested_record_is_the_flat_one() -> None:
    checked = check(NESTED, FLAT, NESTED | {"size.width": 2, "size": {}})

    assert list(checked.usable) == [FLAT] * 3
    assert not checked.refused


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        ({"address": {"city": "Paris", "zip": 1}}, "unknown_field", "inputs[1].address.zip"),
        ({"address": {"town": {"city": "x"}}}, "unknown_field", "inputs[1].address.town"),
        ({"address": "Paris"}, "unknown_field", "inputs[1].address"),
        ({"address": {}}, "missing", "inputs[1].address.city"),
        ({"size": {"width": None}}, "null", "inputs[1].size.width"),
        ({"size": {"width": 3.5e38}}, "out_of_range", "inputs[1].size.width"),
        ({"size": {"width": "2"}}, "wrong_type", "inputs[1].size.width"),
        ({"wild": {"x": 1}}, "wrong_type", "inputs[1].wild"),
    ],
)
def test_what_is_wrong_is_named_by_its_path_and_the_others_are_used(
    wrong: dict[str, Any], code: str, field: str
) -> None:
    checked = check(FLAT, NESTED | wrong, NESTED)

    (error,) = checked.errors
    assert (error.position, error.code, error.field) == (1, code, field)
    assert error.message.startswith(f"{field} ")
    assert list(checked.usable) == [FLAT, FLAT]


def test_texts_are_looked_at_one_by_one() -> None:
    checked = check("fine", "x" * 11, FLAT, "good", fields=None)

    assert list(checked.usable) == ["fine", "good"]
    assert [(each.position, each.code) for each in checked.errors] == [
        (1, "too_long"),
        (2, "wrong_type"),
    ]


def test_a_request_is_refused_when_nothing_of_it_can_be_used() -> None:
    assert check(FLAT, "x").usable == [FLAT]
    one, several = check("x"), check("x", 5)

    assert not one.usable
    assert (one.refusal().status, one.refusal().errors) == (422, ())
    assert not several.usable
    assert [each.position for each in several.refusal().errors] == [0, 1]
