"""Values of files: the declared kind decides what is read, not how the values look."""

from __future__ import annotations

import math
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from bson.decimal128 import Decimal128
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from perennial.errors import OutsideError
from perennial.fields import KINDS
from perennial.files.labelled import open_labelled
from perennial.files.labels import LabelReader
from perennial.inputs.base import inputs_of
from perennial.reasons import ReasonCode, UnusableError
from tests.perennial.examples import many_examples
from tests.perennial.files.written import (
    MORNING,
    judged,
    labelled,
    loaded,
    problem_of,
    write,
)

LABELS = {"bad": 0, "good": 1}


def column(kind: str, written: str, folder: Path, name: str = "field") -> Any:
    """Return what a document has of a value of a CSV file."""
    problem = problem_of(LABELS, {name: kind})
    file = write(folder / "table.csv", [{name: written, "label": 1}])
    return loaded(problem, file)[0][name]


@pytest.mark.parametrize("word", ["1", "yes", "Yes", "TRUE", "true", "y", "t", "on", "1.0", "ja"])
def test_a_boolean_is_true_for_each_word_of_the_list(word: str, tmp_path: Path) -> None:
    assert column("boolean", word, tmp_path) is True


@pytest.mark.parametrize("word", ["0", "no", "No", "FALSE", "n", "f", "off", "0.0", "nein", " no "])
def test_a_boolean_is_false_for_each_word_of_the_list(word: str, tmp_path: Path) -> None:
    assert column("boolean", word, tmp_path) is False


@pytest.mark.parametrize("kind", ["number", "boolean"])
@pytest.mark.parametrize("word", ["", "?", "-", "NA", "n/a", "nan", "NaN", "null", "None"])
def test_a_word_for_nothing_is_null_and_quarantined_as_such(
    word: str, kind: str, tmp_path: Path
) -> None:
    assert column(kind, word, tmp_path) is None
    with pytest.raises(UnusableError) as raised:
        inputs_of(problem_of(LABELS, {"field": kind})).read({"field": None})
    assert raised.value.code is ReasonCode.NULL


@pytest.mark.parametrize("word", ["01", "1", "1.0", "1e5", "true", "NA", "?", " a", "2026-01-31"])
def test_a_category_is_read_as_it_is_written(word: str, tmp_path: Path) -> None:
    assert column("category", word, tmp_path) == word


@pytest.mark.parametrize("word", ["abc", "5%", "inf", "1_000x", "12:30", "2026-01-31"])
def test_what_is_no_number_is_kept_as_written_for_the_quarantine(word: str, tmp_path: Path) -> None:
    assert column("number", word, tmp_path) == word


@pytest.mark.parametrize(
    "word", ["1,234", "1.234,5", "1'234", "1 234", "1_000", "0,5", "1.234.567"]
)
def test_a_number_that_may_mean_two_things_keeps_its_own_row_out(word: str, tmp_path: Path) -> None:
    problem = problem_of(LABELS, {"age": "number"})
    rows = [{"age": age, "label": 1} for age in ("7", word)]

    documents = loaded(problem, write(tmp_path / "table.csv", rows))

    assert [each["age"] for each in documents] == [7, word]
    assert judged(problem, documents) == [None, f"age is a text, not a number: {word!r}"]


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("3,5", 3.5),
        (",5", 0.5),
        ("-0,25", -0.25),
        ("1.234,5", 1234.5),
        ("1.234", 1234),
        ("12.345.678,9", 12345678.9),
        ("1 234,5", 1234.5),
        ("1'234", 1234),
        ("17", 17),
        ("1,5e3", 1500),
        ("", None),
        ("k.A.", "k.A."),
    ],
)
def test_a_decimal_comma_is_read_where_the_problem_names_it(
    word: str, number: object, tmp_path: Path
) -> None:
    problem = problem_of(LABELS, {"price": {"kind": "number", "decimal": ","}})
    rows = [{"price": price, "label": 1} for price in ("7", word)]

    documents = loaded(problem, write(tmp_path / "table.csv", rows))

    assert [each["price"] for each in documents] == [7, number]


@pytest.mark.parametrize("word", ["3.5", "0.25", "1.23456", "1e5.0"])
def test_a_decimal_point_is_no_guess_where_the_mark_is_a_comma(word: str, tmp_path: Path) -> None:
    problem = problem_of(LABELS, {"price": {"kind": "number", "decimal": ","}})
    rows = [{"price": price, "label": 1} for price in ("7", word)]

    documents = loaded(problem, write(tmp_path / "table.csv", rows))

    assert [each["price"] for each in documents] == [7, word]
    assert judged(problem, documents)[1] is not None


@given(value=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**17), 10**17))
@many_examples
def test_every_number_is_read_as_it_is_written(value: float) -> None:
    read = KINDS["number"].from_file(str(value))

    assert read == value
    assert type(read) is type(value)


@given(word=st.text(max_size=8) | st.from_regex(r"[-+0-9., 'e]{1,8}", fullmatch=True))
@many_examples
def test_a_text_is_a_number_nothing_itself_or_refused(word: str) -> None:
    try:
        read = KINDS["number"].from_file(word)
    except ValueError:
        assert sum(character.isdigit() for character in word) > 1
    else:
        assert read is None or read == word or math.isclose(read, float(word))


@pytest.mark.parametrize(
    ("labels", "given_as", "stored"),
    [
        ({"bad": 0, "good": 1}, ["0", "1", "good", "1.0", 1, 1.0, True], [0, 1, 1, 1, 1, 1, 1]),
        ({"bad": "0", "good": "1"}, ["0", "1", "good", 1, 1.0], ["0", "1", "1", "1", "1"]),
        ({"bad": "01", "good": "1"}, ["01", "1", 1], ["01", "1", "1"]),
        (
            {"bad": False, "good": True},
            ["0", "yes", "no", 1, "TRUE"],
            [False, True, False, True, True],
        ),
        ({"bad": 0, "good": "1"}, ["0", "1", 1, 0], [0, "1", "1", 0]),
        ({"bad": 0, "good": 1}, ["2", "x", "", None, math.nan], [2, "x", None, None, None]),
        ({"bad": "b", "good": "g"}, ["2", 2, "?", " g "], ["2", "2", "?", "g"]),
    ],
)
def test_a_label_is_read_as_the_problem_stores_it(
    labels: dict[str, Any], given_as: list[Any], stored: list[Any]
) -> None:
    read = [LabelReader(labels).read(value) for value in given_as]

    assert read == stored
    assert [type(value) for value in read] == [type(value) for value in stored]


def test_a_column_named_as_the_date_is_the_date(tmp_path: Path) -> None:
    dates = ["2026-01-31T12:00:00+01:00", "2026-01-31T11:00:00Z", "2026-01-31 11:00", "2026-01-31"]
    rows = [{"text": str(n), "label": 1, "created_at": at} for n, at in enumerate(dates)]

    found = [
        each["created_at"] for each in loaded(problem_of(LABELS), write(tmp_path / "t.csv", rows))
    ]

    assert found == [MORNING, MORNING, MORNING, datetime(2026, 1, 31, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("31/01/2026", "created_at is a text, not a date: '31/01/2026'"),
        ("", "created_at is null"),
        ("1769857200", "created_at is a text, not a date: '1769857200'"),
        ("yesterday", "created_at is a text, not a date: 'yesterday'"),
    ],
)
def test_another_date_keeps_its_own_row_out(written: str, said: str, tmp_path: Path) -> None:
    rows = [{"text": "a film", "label": 1, "created_at": at} for at in ("2026-01-31", written)]

    documents = loaded(problem_of(LABELS), write(tmp_path / "t.csv", rows))

    assert judged(problem_of(LABELS, min_words=1), documents) == [None, said]


def test_other_columns_are_kept(tmp_path: Path) -> None:
    rows = [{"body": "a", "label": 1, "customer": "007", "address.city": "Ulm", "gap": ""}]

    (document,) = loaded(problem_of(LABELS), write(tmp_path / "t.csv", rows), text_column="body")

    del document["_id"], document["created_at"]
    assert document == {
        "text": "a",
        "label": 1,
        "source": "t",
        "customer": "007",
        "address": {"city": "Ulm"},
        "gap": None,
    }


def test_types_of_parquet_that_mongodb_does_not_have_are_kept_as_near_ones(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["a"],
            "label": [1],
            "price": pa.array([Decimal("1.50")]),
            "day": pa.array([date(2026, 1, 31)]),
            "at": pa.array([1], pa.timestamp("ns")),
            "large": pa.array([2**64 - 1], pa.uint64()),
            "tags": [["x", "y"]],
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")

    (document,) = loaded(problem_of(LABELS), tmp_path / "t.parquet")

    assert document["price"] == Decimal128("1.50")
    assert document["day"] == datetime(2026, 1, 31, tzinfo=UTC)
    assert document["at"] == datetime(1970, 1, 1, tzinfo=UTC)
    assert (document["large"], document["tags"]) == (str(2**64 - 1), ["x", "y"])


def test_a_text_that_parquet_has_as_bytes_is_a_text(tmp_path: Path) -> None:
    table = pa.table({"text": ["schön".encode(), b"\xff"], "label": [b"good", b"bad"]})
    parquet.write_table(table, tmp_path / "t.parquet")

    documents = loaded(problem_of(LABELS), tmp_path / "t.parquet")

    assert [(each["text"], each["label"]) for each in documents] == [("schön", 1), (b"\xff", 0)]


@pytest.mark.parametrize(("name", "option"), [("number", "number"), ("_id", None)])
def test_an_id_column_gives_the_ids(name: str, option: str | None, tmp_path: Path) -> None:
    rows = [{name: f"0{n}", "text": "a", "label": 1} for n in range(2)]

    documents = loaded(problem_of(LABELS), write(tmp_path / "t.csv", rows), id_column=option)

    assert [each["_id"] for each in documents] == ["00", "01"]
    assert "number" not in documents[0]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (
            ["1", "2", "1"],
            "Line 4 of the file .* has the id '1' in 'number', which line 2 has, too",
        ),
    ],
)
def test_an_id_column_with_copies_is_refused(ids: list[str], said: str, tmp_path: Path) -> None:
    rows = [{"number": each, "text": "a", "label": 1} for each in ids]

    with pytest.raises(OutsideError, match=said):
        loaded(problem_of(LABELS), write(tmp_path / "t.csv", rows), id_column="number")


def test_a_column_of_numbers_has_one_type(tmp_path: Path) -> None:
    problem = problem_of(LABELS, {"a": "number", "b": "number"})
    rows = [{"a": 1, "b": 1, "label": 0}, {"a": 2.5, "b": 2, "label": 1}]

    documents = loaded(problem, write(tmp_path / "t.csv", rows))

    assert [type(each["a"]) for each in documents] == [float, float]
    assert [type(each["b"]) for each in documents] == [int, int]


def test_nested_objects_are_read_by_their_paths(tmp_path: Path) -> None:
    problem = problem_of(LABELS, {"address.zip": "category", "size": "number"})
    rows = [{"address": {"zip": 1067, "city": "Dresden"}, "size": "?", "label": "good"}]

    (document,) = loaded(problem, write(tmp_path / "t.jsonl", rows))

    assert document["address"] == {"zip": "1067", "city": "Dresden"}
    assert (document["size"], document["label"]) == (None, 1)


def test_a_document_that_was_never_changed_has_no_date_of_a_change(tmp_path: Path) -> None:
    problem = problem_of(LABELS, fields=None, source_fields={"updated_at": "changed"})
    rows = [{"text": "a", "label": 1, "changed": at} for at in ("", "2026-01-31T11:00Z")]

    first, second = loaded(problem, write(tmp_path / "t.csv", rows))

    assert first["changed"] is None
    assert second["changed"] == MORNING


def test_of_a_file_no_more_than_a_few_rows_are_in_memory(tmp_path: Path) -> None:
    rows = [{"text": f"{n} " + "word " * 2_000, "label": n % 2} for n in range(1_500)]
    file = write(tmp_path / "t.csv", rows)
    del rows
    tracemalloc.start()
    try:
        count = sum(1 for _ in labelled(problem_of(LABELS), file))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert count == 1_500
    assert peak < file.stat().st_size / 2


def test_the_first_rows_alone_are_the_same_documents_and_the_rest_is_not_looked_at(
    tmp_path: Path,
) -> None:
    problem = problem_of(LABELS, {"size": "number"})
    rows = [{"size": str(place % 7), "label": place % 2} for place in range(20)]
    file = write(tmp_path / "table.csv", rows)
    with file.open("a", encoding="utf-8") as table:
        table.write("1,1,too many values\n")

    some, all_of_them = open_labelled(problem, file, most=12), open_labelled(problem, file)

    assert (len(some), some.n_unreadable) == (12, 0)
    assert (len(all_of_them), all_of_them.n_unreadable) == (21, 1)
    first = [document["_id"] for document in all_of_them][:12]
    assert [document["_id"] for document in some] == first
    assert len(set(first)) == 12


def test_a_source_that_no_row_has_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", [{"text": "a", "label": 1, "source": "web"}])

    with pytest.raises(OutsideError, match=r"no row of the source 'paper'; it has 1 of others"):
        loaded(problem_of(LABELS), file, source="paper")
    assert len(loaded(problem_of(LABELS), file, source="web")) == 1
