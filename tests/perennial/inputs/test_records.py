"""Records of fields: which can be used, what makes two the same, and what a model makes of them."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skops.io import dumps, get_untrusted_types, loads

from perennial.config.problem import Problem
from perennial.documents.judgement import judge_documents
from perennial.fields import FieldKind
from perennial.fields.base import LARGEST
from perennial.inference.predictor import build_predictor
from perennial.inference.tabular import TabularPredictor
from perennial.inputs.encoder import FieldEncoder, FieldReader, fields_of
from perennial.inputs.records import TabularInputs, check_record
from perennial.inputs.validation import UnusableError
from perennial.registry.artifact import TRUSTED_TYPES
from tests.flowers import SETOSA, VIRGINICA, fitted

FIELDS: dict[str, FieldKind] = {"width": "number", "colour": "category", "wild": "boolean"}
FLOWER = {"width": 1.5, "colour": "blue", "wild": True}
INPUTS = TabularInputs(FIELDS)

numbers = st.floats(-LARGEST, LARGEST) | st.integers(-(2**53), 2**53)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
records = st.fixed_dictionaries({"width": numbers, "colour": texts, "wild": st.booleans()})
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)


@given(records)
def test_a_record_of_the_right_kinds_is_used_as_it_is(record: dict[str, Any]) -> None:
    assert check_record(FIELDS, record) == record


@given(st.dictionaries(st.sampled_from([*FIELDS, "other"]), anything))
def test_whatever_arrives_is_used_or_refused_with_the_field(given_record: dict[str, Any]) -> None:
    try:
        record = check_record(FIELDS, given_record)
    except UnusableError as error:
        assert error.field in FIELDS  # noqa: PT017
        return
    assert record.keys() == FIELDS.keys()
    assert any(value is not None for value in record.values())
    assert record["width"] is None or math.isfinite(record["width"])
    assert isinstance(record["colour"], str | None)
    assert isinstance(record["wild"], bool | None)
    assert INPUTS.content_hash(record)


@given(records, st.permutations(list(FIELDS)))
def test_the_hash_depends_on_the_values_and_not_on_the_order_of_fields(
    record: dict[str, Any], order: list[str]
) -> None:
    turned = TabularInputs({name: FIELDS[name] for name in order})

    assert INPUTS.content_hash(INPUTS.read(record)) == turned.content_hash(turned.read(record))


@given(records, records)
def test_two_records_have_one_hash_exactly_when_they_are_equal(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    one, other = INPUTS.read(first), INPUTS.read(second)

    assert (INPUTS.content_hash(one) == INPUTS.content_hash(other)) == (one == other)


@pytest.mark.parametrize(("one", "other"), [(5, 5.0), (0.0, -0.0), (10**3, 1e3)])
def test_equal_numbers_are_the_same_however_they_are_written(one: float, other: float) -> None:
    hashes = {INPUTS.content_hash(INPUTS.read(FLOWER | {"width": each})) for each in (one, other)}

    assert len(hashes) == 1


@given(records)
def test_a_snapshot_gives_a_record_back_with_the_same_digest(record: dict[str, Any]) -> None:
    value = INPUTS.read(record)
    stored = pa.array([value], INPUTS.column.type)

    assert stored.to_pylist() == [value]
    assert INPUTS.read(INPUTS.write(value)) == value


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"width": None}, "width is null"),
        ({"width": ...}, "width is missing"),
        ({"width": "1.5"}, "width is a text, not a number: '1.5'"),
        ({"width": True}, "width is true or false, not a number: true"),
        ({"width": math.nan}, "width is nan, not a finite number: nan"),
        ({"width": -math.inf}, "width is -inf, not a finite number: -inf"),
        (
            {"width": 1e39},
            "width is beyond the numbers that models take, up to 3.4e38: 1e+39",
        ),
        ({"colour": 5.5}, "colour is a number, not a text: 5.5"),
        ({"colour": True}, "colour is true or false, not a text: true"),
        ({"colour": ""}, "colour is empty: ''"),
        ({"colour": "\ud800"}, "colour is not valid UTF-8: '\\ud800'"),
        ({"colour": "b" * 1001}, f"colour has 1,001 characters, more than 1,000: '{'b' * 46}..."),
        ({"wild": 2}, "wild is a number, not true or false: 2"),
        ({"label": "rose"}, 'label is not one of "a", "b": "rose"'),
        ({"created_at": "today"}, "created_at is a text, not a date: 'today'"),
    ],
)
def test_a_document_that_cannot_be_used_says_why(change: dict[str, Any], reason: str) -> None:
    problem = Problem.model_validate(
        {
            "name": "flowers",
            "source": {"database": "d", "collection": "c"},
            "inputs": {name: {"kind": kind, "required": True} for name, kind in FIELDS.items()},
            "labels": {"a": "a", "b": "b"},
            "candidates": {"tree": {"estimator": "decision_tree"}},
        }
    )
    good = FLOWER | {"label": "a", "created_at": datetime.now(UTC)}
    document = {name: value for name, value in (good | change).items() if value is not ...}

    fine, wrong = judge_documents([good | {"_id": 1}, document | {"_id": 2}], problem).to_pylist()
    assert (fine["inputs"], fine["status"]) == (FLOWER, "used")
    assert (wrong["status"], wrong["reason"]) == ("quarantined", reason)


def test_categories_get_a_column_each_and_unknown_ones_none() -> None:
    reader = FieldReader(FIELDS)
    seen = [FLOWER, FLOWER | {"colour": "red", "wild": False}]
    encoder = FieldEncoder().fit(reader.transform(seen))

    matrix = encoder.transform(reader.transform([*seen, FLOWER | {"colour": "green"}]))

    assert encoder.get_feature_names_out().tolist() == [
        "width",
        "wild",
        "colour = blue",
        "colour = red",
    ]
    assert matrix.tolist() == [[1.5, 1, 1, 0], [1.5, 0, 0, 1], [1.5, 1, 0, 0]]


def test_records_rows_of_a_frame_and_a_column_of_a_snapshot_are_read_alike() -> None:
    reader = FieldReader(FIELDS, required=["wild"])
    given_records = [FLOWER, FLOWER | {"colour": "red"}]
    column = pa.array(given_records, INPUTS.column.type)

    expected = reader.transform(given_records)

    for same in (pd.DataFrame(given_records), column, pa.chunked_array([column])):
        found = reader.transform(same)
        assert {name: values.tolist() for name, values in found.values.items()} == {
            name: values.tolist() for name, values in expected.values.items()
        }
    with pytest.raises(ValueError, match="have no field 'wild'"):
        reader.transform([{"width": 1.0, "colour": "red"}])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logistic", "tree", "forest", "svm", "boosted"])
def test_a_model_file_of_every_algorithm_loads_without_pickle_and_answers_the_same(
    name: str,
) -> None:
    model = fitted(name)

    stored = dumps(model)
    found = loads(stored, trusted=list(TRUSTED_TYPES))

    assert set(get_untrusted_types(data=stored)) <= set(TRUSTED_TYPES)
    both = [SETOSA, VIRGINICA]
    np.testing.assert_array_equal(found.predict_proba(both), model.predict_proba(both))
    assert found.predict(both).tolist() == ["setosa", "virginica"]
    assert fields_of(found) == dict.fromkeys(SETOSA, "number")


def _baseline_and_output(name: str, label: str) -> tuple[float, float]:
    """The model's output for a label on one flower, and what it is without any contribution.

    For more than two labels it is compared with the output for the next one.
    """
    model = fitted(name)
    row, last = model[:-1].transform([VIRGINICA]), model[-1]
    place = list(model.classes_).index(label)
    if name == "logistic":
        scores, start = last.decision_function(row)[0], last.intercept_
        other = _next(scores, place)
        return start[place] - start[other], scores[place] - scores[other]
    if name == "boosted":
        found = last.contributions(row)[0]
        scores, start = found.sum(axis=1), found[:, -1]
        other = _next(scores, place)
        return start[place] - start[other], scores[place] - scores[other]
    trees = [last] if name == "tree" else last.estimators_
    roots = [tree.tree_.value[0, 0] / tree.tree_.value[0, 0].sum() for tree in trees]
    return np.mean(roots, axis=0)[place], last.predict_proba(row)[0, place]


def _next(scores: Any, place: int) -> int:
    return max((each for each in range(len(scores)) if each != place), key=scores.__getitem__)


@pytest.mark.parametrize("label", ["setosa", "versicolor", "virginica"])
@pytest.mark.parametrize("name", ["logistic", "tree", "forest", "boosted"])
def test_contributions_add_up_to_what_the_model_says(name: str, label: str) -> None:
    predictor = build_predictor(fitted(name), [SETOSA])
    baseline, output = _baseline_and_output(name, label)

    found = predictor.explain(VIRGINICA, label)

    assert isinstance(predictor, TabularPredictor)
    assert baseline + sum(each.contribution for each in found) == pytest.approx(output, abs=1e-6)
    sizes = [abs(each.contribution) for each in found]
    assert sizes == sorted(sizes, reverse=True)
    assert len(predictor.explain(VIRGINICA, label, limit=2)) == 2


def test_other_models_are_explained_by_what_changes_without_a_field() -> None:
    predictor = build_predictor(fitted("svm"), [SETOSA])

    found = predictor.explain(SETOSA, "setosa")

    assert {each.feature for each in found} == SETOSA.keys()
    assert found[0].feature in {"petal_length", "petal_width"}
    assert found[0].contribution > 0
    with pytest.raises(ValueError, match="no class 'rose'"):
        predictor.explain(SETOSA, "rose")


def test_a_record_survives_the_golden_examples_of_a_model_file() -> None:
    from perennial.registry.artifact import Golden

    golden = Golden(
        inputs=(FLOWER, FLOWER | {"wild": False}),
        classes=("a", "b"),
        probabilities=((0.5, 0.5), (0.1, 0.9)),
    )

    again = Golden.model_validate_json(golden.model_dump_json())

    assert again == golden
    assert json.loads(again.model_dump_json())["inputs"][1] == FLOWER | {"wild": False}
    assert isinstance(again.inputs[0]["wild"], bool)  # type: ignore[index]


def test_a_category_has_one_column_however_it_was_encoded() -> None:
    values = ["d\u00e9j\u00e0 vu", "de\u0301ja\u0300 vu", " d&eacute;j&agrave;&nbsp;vu ", "new"]
    reader = FieldReader({"colour": "category", "width": "number"})
    columns = reader.transform([{"colour": value, "width": 1} for value in values])

    encoder = FieldEncoder().fit(columns)

    assert encoder.get_feature_names_out().tolist() == [
        "width",
        "colour = d\u00e9j\u00e0 vu",
        "colour = new",
    ]
    assert encoder.transform(columns)[:, 1].tolist() == [1, 1, 1, 0]


def test_a_reader_that_was_stored_before_there_was_a_normal_form_has_none() -> None:
    stored = FieldReader({"colour": "category"}).__getstate__()
    del stored["normal_form"], stored["required"]

    old = FieldReader.__new__(FieldReader)
    old.__setstate__(stored)

    assert old.get_params() == {
        "fields": {"colour": "category"},
        "normal_form": False,
        "required": ["colour"],
    }
    assert old.transform([{"colour": " a "}]).values["colour"].tolist() == [" a "]
