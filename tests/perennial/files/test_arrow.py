"""Arrow tables of files: what predictions are written beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from perennial.files.arrow import ArrowTable, flattened
from perennial.files.table import open_table
from tests.perennial.files.written import write


def read(file: Path, size: int = 2) -> list[dict[str, Any]]:
    table = ArrowTable(open_table(file))
    batches = list(table.batches(size))
    for rows, batch in batches:
        assert len(rows) == len(batch) <= size
        assert batch.schema.equals(table.schema)
    assert len(table) == sum(len(rows) for rows, _ in batches)
    return [row for _, batch in batches for row in batch.to_pylist()]


def test_delimited_text_is_text(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", [{"a": "01", "b": "1,5"}, {"a": "", "b": "x"}])

    assert read(file) == [{"a": "01", "b": "1,5"}, {"a": "", "b": "x"}]


def test_a_file_with_a_header_alone_has_columns_and_no_rows(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,b\n")

    assert read(file) == []
    assert ArrowTable(open_table(file)).schema.names == ["a", "b"]


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([1, 2, 2.5], [1.0, 2.0, 2.5]),
        ([2**60, 2.5], [str(2**60), "2.5"]),
        ([1, None, 3], [1, None, 3]),
        ([None, None, "x"], [None, None, "x"]),
        ([1, "x", {"a": 1}], ["1", "x", '{"a": 1}']),
        ([1, 2, "ü"], ["1", "2", "ü"]),
        ([2**70, 1], [str(2**70), "1"]),
        ([{"a": 1}, {"b": "x"}], [{"a": 1, "b": None}, {"a": None, "b": "x"}]),
        ([{}, [{}]], ["{}", "[{}]"]),
        ([[1], ["x"]], ["[1]", '["x"]']),
    ],
)
def test_a_column_of_json_has_the_type_of_all_its_values_or_is_text(
    values: list[Any], written: list[Any], tmp_path: Path
) -> None:
    file = write(tmp_path / "t.jsonl", [{"a": value} for value in values])

    found = [row["a"] for row in read(file)]

    assert found == written
    assert [type(value) for value in found] == [type(value) for value in written]


def test_types_of_parquet_stay(tmp_path: Path) -> None:
    table = pa.table(
        {
            "at": pa.array([1, 2, 3], pa.timestamp("ns", "Europe/Berlin")),
            "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")

    source = ArrowTable(open_table(tmp_path / "t.parquet"))
    tables = [batch for _, batch in source.batches(2)]

    assert pa.concat_tables(tables).combine_chunks().cast(table.schema).equals(table)
    assert [row.place for rows, _ in source.batches(2) for row in rows] == [1, 2, 3]


def test_nested_values_are_columns_or_json_in_csv() -> None:
    table = pa.table(
        {
            "p": [{"no": 0.25, "yes": 0.75}, None],
            "tags": [["ü"], None],
            "n": pa.array([1, 2]).dictionary_encode(),
            "raw": [b"\xff", None],
        }
    )

    flat = flattened(table, {"p": ["no", "yes"]})

    assert flat.to_pylist() == [
        {"p.no": 0.25, "p.yes": 0.75, "tags": '["ü"]', "n": 1, "raw": "/w=="},
        {"p.no": None, "p.yes": None, "tags": None, "n": 2, "raw": None},
    ]


@pytest.mark.parametrize("first", [0, 4, 8, 12, 20])
def test_parquet_is_read_from_a_row_on_in_the_same_parts_whatever_its_groups_are(
    first: int, tmp_path: Path
) -> None:
    file = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"n": list(range(21))}), file, row_group_size=5)

    batches = list(ArrowTable(open_table(file)).batches(4, first))

    expected = [list(range(start, min(start + 4, 21))) for start in range(first, 21, 4)]
    assert [batch["n"].to_pylist() for _, batch in batches] == expected
    assert [[row.values["n"] for row in rows] for rows, _ in batches] == expected
    assert [row.place for rows, _ in batches for row in rows] == list(range(first + 1, 22))
