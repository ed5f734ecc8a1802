"""Expectations: what a snapshot is like, field by field, and which new documents are otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from perennial.errors import OutsideError
from perennial.monitoring.expectations import (
    Expectation,
    Surprise,
    check,
    columns_of,
    learn,
    read,
    written,
)

KINDS = {"age": "number", "class": "category", "paid": "boolean", "note": "text", "on": "date"}
TYPES = {
    "age": pa.float64(),
    "class": pa.string(),
    "paid": pa.bool_(),
    "note": pa.string(),
    "on": pa.timestamp("us", tz="UTC"),
}


def documents(count: int, seed: int = 0, **changes: Any) -> pa.Table:
    """Documents of passengers, some of whose fields have other values."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {
        "age": rng.integers(1, 80, count).tolist(),
        "class": rng.choice(["first", "second", "third"], count).tolist(),
        "paid": (rng.random(count) < 0.9).tolist(),
        "note": ["came aboard"] * count,
        "on": [None] * count,
    }
    columns |= {name: [value] * count for name, value in changes.items()}
    arrays = [pa.array(values, TYPES[name]) for name, values in columns.items()]
    records = pa.StructArray.from_arrays(arrays, names=list(columns))
    labels = np.where(rng.random(count) < 0.6, "died", "survived").tolist()
    return columns_of(records, KINDS, labels)


def broken(new: pa.Table) -> dict[tuple[str, str], Surprise]:
    """Return what new documents break of what 1,000 documents of before lead to expect."""
    found = check(learn(documents(1_000)), new, significance=0.001, limit=0.1)
    return {(each.field, each.what): each for each in found}


def test_ranges_values_and_missing_shares_are_learned_of_every_field() -> None:
    known = {each.field: each for each in learn(documents(1_000))}

    assert known.keys() == {*KINDS, "label"}
    age, fare, paid = known["age"], known["class"], known["paid"]
    assert (age.low, age.high, age.missing) == (1.0, 79.0, 0)
    assert (fare.values, paid.values) == (("first", "second", "third"), ("false", "true"))
    assert (known["note"].low, known["note"].high) == (11.0, 11.0)
    assert known["on"].missing == known["on"].documents == 1_000
    assert known["label"].values == ("died", "survived")


def test_a_value_of_few_documents_is_not_kept_as_it_may_be_somebodys_own() -> None:
    names = pa.table({"name": ["Ann"] * 40 + ["Zebedee Quill"] * 4})

    (known,) = learn(names)

    assert (known.values, known.outside) == (("Ann",), 4)
    assert b"Zebedee" not in written([known])


@pytest.mark.parametrize("seed", range(20))
def test_documents_like_those_of_before_are_no_surprise(seed: int) -> None:
    assert broken(documents(200, seed=100 + seed)) == {}


def test_numbers_outside_of_the_range_are_said_with_their_share() -> None:
    # Somebody now writes months.
    found = broken(documents(60, seed=1, age=500.0))

    assert found.keys() == {("age", "outside")}
    said = str(found["age", "outside"])
    assert said.startswith("age: 60 of 60 new documents are not 1 to 79; ")
    assert said.endswith("% were expected")


def test_a_new_spelling_of_a_category_and_values_that_are_gone_are_said() -> None:
    new = documents(80, seed=2, paid=None, **{"class": "1st"})

    found = broken(new)

    assert found.keys() == {("class", "outside"), ("paid", "missing")}
    assert "most often '1st'" in str(found["class", "outside"])
    assert "80 of 80 new documents have no value" in str(found["paid", "missing"])


def test_one_odd_document_among_few_is_no_surprise() -> None:
    table = documents(20, seed=3)
    ages = pa.array([400.0, *table["age"].to_pylist()[1:]])

    assert broken(table.set_column(0, "age", ages)) == {}


def test_a_field_that_is_gone_from_the_file_is_not_asked_for() -> None:
    assert check(learn(documents(100)), pa.table({"other": [1.0]}), significance=0.1, limit=0) == ()


def test_texts_are_expected_to_be_as_long_as_before() -> None:
    before = columns_of(pa.array(["a fine film"] * 300), {}, ["good"] * 300)
    new = columns_of(pa.array(["x" * 4_000] * 30), {}, ["good"] * 30)

    (found,) = check(learn(before), new, significance=0.001, limit=0.1)

    assert (found.field, found.share) == ("text", 1.0)


def test_what_was_written_is_read_again() -> None:
    known = (*learn(documents(100)), Expectation("empty", 0, 0))

    assert read(written(known), "expectations.json") == known


@pytest.mark.parametrize("content", [b"", b"{", b'[{"field": "age"}]', b"[1]"])
def test_a_damaged_file_is_named(content: bytes) -> None:
    with pytest.raises(
        OutsideError, match=r"^expectations.json is damaged; .*retrain with --force"
    ):
        read(content, "expectations.json")
