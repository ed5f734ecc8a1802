"""Formats: a table is read the same however it is written, and a wrong one in a sentence."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import OutsideError
from tests.perennial.examples import some_examples
from tests.perennial.files.written import FORMATS, MORNING, delimited, loaded, problem_of, write

RECORDS = problem_of(
    {"bad": 0, "good": 1},
    {"size": "number", "kind": "category", "student": "boolean"},
)
TEXTS = problem_of({"bad": 0, "good": 1})
SIGNS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "size": st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32),
            "kind": st.none() | st.text(SIGNS, min_size=1, max_size=8),
            "student": st.none() | st.booleans(),
            "label": st.sampled_from([0, 1]),
            "remark": st.text(SIGNS, max_size=8),
        }
    ),
    min_size=1,
    max_size=5,
)


def without_time(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in document.items() if name != "created_at"}
        for document in documents
    ]


@given(rows=ROWS)
@some_examples
def test_a_table_is_read_the_same_in_every_format(rows: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        files = [write(Path(folder) / f"table{ending}", rows) for ending in FORMATS]
        first, *others = [without_time(loaded(RECORDS, file)) for file in files]

    for other in others:
        assert other == first
    for document, row in zip(first, rows, strict=True):
        assert {name: document[name] for name in row if name != "remark"} == {
            name: value for name, value in row.items() if name != "remark"
        }
        assert document["remark"] == (row["remark"] or None)


@given(
    texts=st.lists(st.text(SIGNS, max_size=30), min_size=1, max_size=5),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
@some_examples
def test_delimiter_and_mark_of_the_encoding_are_found(
    texts: list[str], delimiter: str, encoding: str
) -> None:
    rows = [{"id": n, "text": text, "label": n % 2} for n, text in enumerate(texts)]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "texts.csv"
        file.write_bytes(delimited(rows, delimiter).encode(encoding))
        documents = loaded(TEXTS, file)

    assert [(each["text"], each["label"]) for each in documents] == [
        (row["text"], row["label"]) for row in rows
    ]


def test_the_delimiter_that_a_spreadsheet_names_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_text('sep=;\n\ntext;label\n"one\nfilm, two";1\n\nb;0\n')

    assert [each["text"] for each in loaded(TEXTS, file)] == ["one\nfilm, two", "b"]


def test_an_encoding_can_be_named(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_bytes("text,label\n„schön“ 5 €,1\n".encode("windows-1252"))

    (document,) = loaded(TEXTS, file, encoding="windows-1252")
    assert document["text"] == "„schön“ 5 €"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "windows-1252"])
def test_the_mark_of_an_encoding_counts_more_than_what_is_named(
    encoding: str, tmp_path: Path
) -> None:
    file = tmp_path / "texts.csv"
    file.write_bytes("\ufefftext,label\nschön,1\n".encode("utf-16-le"))

    (document,) = loaded(TEXTS, file, encoding=encoding)
    assert document["text"] == "schön"


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json"])
def test_a_row_of_megabytes_is_read(ending: str, tmp_path: Path) -> None:
    rows = [{"text": "a fine film " * 400_000, "label": 1}, {"text": "short", "label": 0}]

    long, short = loaded(TEXTS, write(tmp_path / f"texts{ending}", rows))

    assert (len(long["text"]), short["text"]) == (4_800_000, "short")


def test_columns_without_a_name_have_their_place(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_text(",text,label,Nr.\n0,a film,1,7\n")

    (document,) = loaded(TEXTS, file)
    assert (document["column_1"], document["Nr_"]) == ("0", "7")


def test_objects_of_json_may_take_many_lines_and_mix_their_types(tmp_path: Path) -> None:
    file = tmp_path / "texts.json"
    file.write_text('{"text":\n "a",\n "label": 1}\n\n{"text": 5, "label": "x"}')

    first, second = loaded(TEXTS, file)
    assert (first["text"], first["label"]) == ("a", 1)
    assert (second["text"], second["label"]) == (5, "x")


def test_what_mongoexport_writes_keeps_its_ids_and_dates(tmp_path: Path) -> None:
    key = "507f191e810c19729de860ea"
    file = tmp_path / "texts.json"
    file.write_text(
        json.dumps(
            {
                "_id": {"$oid": key},
                "text": "a",
                "label": {"$numberLong": "1"},
                "created_at": {"$date": "2026-01-31T11:00:00Z"},
            }
        )
    )

    (document,) = loaded(TEXTS, file)

    assert document["_id"] == ObjectId(key)
    assert (document["label"], document["created_at"]) == (1, MORNING)


BROKEN = [
    ("gone.csv", None, "gone.csv cannot be read: No such file or directory"),
    ("empty.csv", b"", "empty.csv is empty"),
    ("empty.jsonl", b"", "empty.jsonl is empty"),
    ("blank.csv", b"\n\n", "blank.csv has no header: its lines are empty"),
    ("blank.jsonl", b"\n\n", "blank.jsonl has no rows"),
    ("none.json", b"[]", "none.json has no rows"),
    ("header.csv", b"text,label\n", "header.csv has a header and no rows below it"),
    ("other.csv", b"body,label\na,1\n", "other.csv has no column 'text'; it has body, label"),
    ("ragged.csv", b"text,label\nb,1,2\n", "Line 2 of the file .*ragged.csv has 3 values, and the"),
    (
        "broken.jsonl",
        b'{"text": "a", ',
        "Line 1 of the file .*broken.jsonl is no JSON, or not comp",
    ),
    ("value.jsonl", b'{"text": {"$date": "x"}, "label": 1}', "Line 1 of the file .*value that is"),
    ("single.jsonl", b'{"$oid": "507f191e810c19729de860ea"}', "Line 1 .* single value of MongoDB"),
    ("deep.jsonl", b'{"text": ' + b"[" * 99_999, "Line 1 of the file .*is nested too deeply"),
    ("wild.csv", bytes(range(256)) * 20, "The encoding of the file .*wild.csv cannot be told"),
    ("cut.json", b'[{"text": "a", "label": 1},', "cut.json ends within its array"),
    ("comma.json", b'[{"text": "a"} {"text": "b"}]', "stands where a comma should be"),
    (
        "list.json",
        b'[{"text": "a"}, ["b", 0]]',
        r"The object at line 1 .* is '\[\"b\", 0\]\]', which",
    ),
    ("after.json", b'[{"text": "a", "label": 1}] x', "'x' at line 1 .* after the end of the array"),
    ("text.parquet", b"no parquet", "text.parquet is no Parquet file, or is damaged"),
    ("texts.csv.gz", b"text,label\n", "texts.csv.gz is damaged, or is not packed as its ending"),
    ("short.csv.gz", gzip.compress(b"text,label\na,1\n")[:-9], "short.csv.gz is damaged"),
    ("texts.xlsx", b"PK", "texts.xlsx is no spreadsheet, is damaged or has a password: "),
    ("texts", b"text,label\n", "ending '', which is none of .csv, .tsv"),
    (
        "half.jsonl",
        b'{"text": "\\ud83d", "label": 1}',
        "Line 1 of the file .*half.jsonl has text that is not valid Unicode",
    ),
    (
        "both.csv",
        b"text,label,a,a.b\nx,1,2,3\n",
        "Line 2 of the file .*both.csv has a value in 'a', which is an object for 'a.b'",
    ),
]


@pytest.mark.parametrize(("name", "content", "said"), BROKEN, ids=[row[0] for row in BROKEN])
def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(
    name: str, content: bytes | None, said: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(OutsideError) as raised:
        loaded(TEXTS, tmp_path / name)

    assert re.search(said, str(raised.value)), str(raised.value)
    assert str(tmp_path / name) in str(raised.value)
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("encoding", ["no-such", "hex", "utf-8\0"])
def test_what_is_no_encoding_is_refused(encoding: str, tmp_path: Path) -> None:
    file = write(tmp_path / "texts.csv", [{"text": "a", "label": 1}])

    with pytest.raises(OutsideError, match=r"--encoding .* is no encoding"):
        loaded(TEXTS, file, encoding=encoding)


def test_a_file_in_another_encoding_than_named_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_bytes(b"text,label\nmagnifi\xe9,1\n")

    with pytest.raises(OutsideError, match=r"Line 2 .* is not ascii; name another --encoding"):
        loaded(TEXTS, file, encoding="ascii")


def test_a_value_larger_than_a_document_may_be_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text(json.dumps({"text": "é" * 9_000_000, "label": 1}, ensure_ascii=False))

    with pytest.raises(OutsideError, match=r"Line 1 .* has 18,000,\d+ bytes, and MongoDB stores"):
        loaded(TEXTS, file)
