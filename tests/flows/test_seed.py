"""Seeding: labelled texts from a file into MongoDB, each of them once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from ruamel.yaml import YAML

from flows.seed import seed
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.files.labelled import content_id
from perennial.settings import Settings
from tasks.data.ingest import ingest
from tasks.data.seed import read_file, reviews_file

pytestmark = pytest.mark.usefixtures("prefect_api")

ROWS = [
    {"text": "A warm, funny film", "label": 1},
    {"text": 'Two lines,\nand a "quotation"', "label": 0},
    {"text": "Très ennuyeux, sans doute 🎬", "label": 0},
]


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".csv":
        csv.write_csv(table, path)
    elif path.suffix == ".parquet":
        parquet.write_table(table, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _pairs(collection: Any) -> list[tuple[Any, Any]]:
    return sorted((d["text"], d["label"]) for d in collection.find())


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "ndjson", "parquet", "CSV"])
def test_a_file_of_any_format_becomes_documents(
    ending: str, collection: Any, tmp_path: Path
) -> None:
    file = _write(tmp_path / f"texts.{ending.lower()}", ROWS)
    file = file.rename(tmp_path / f"texts.{ending}")

    seeded = seed("reviews", file=file)

    assert (seeded.documents, seeded.added) == (3, 3)
    assert _pairs(collection) == sorted((row["text"], row["label"]) for row in ROWS)
    assert {document["source"] for document in collection.find()} == {"texts"}


def test_a_file_that_is_loaded_twice_adds_nothing_twice(collection: Any, tmp_path: Path) -> None:
    file = _write(tmp_path / "texts.csv", ROWS)
    seed("reviews", file=file)
    dates = {document["_id"]: document["created_at"] for document in collection.find()}

    again = seed("reviews", file=file)
    longer = seed("reviews", file=_write(file, [*ROWS, {"text": "One more film", "label": 1}]))

    assert (again.documents, again.added) == (3, 0)
    assert (longer.documents, longer.added) == (4, 1)
    kept = {document["_id"]: document["created_at"] for document in collection.find()}
    assert kept.items() >= dates.items()


def test_a_file_that_was_corrected_is_loaded_again_when_that_is_asked_for(
    collection: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"_id": f"film-{number}"} | row for number, row in enumerate(ROWS)]
    file = _write(tmp_path / "texts.csv", rows)
    seed("reviews", file=file)
    dates = [each["created_at"] for each in collection.find().sort("_id")]
    collection.update_one({"_id": "film-0"}, {"$set": {"note": "of somebody"}})
    corrected = [rows[0] | {"label": 1 - rows[0]["label"]}, rows[1] | {"text": "Edited"}, rows[2]]
    _write(file, corrected)

    told = seed("reviews", file=file)
    kept = _pairs(collection)
    replaced = seed("reviews", file=file, replace=True)

    assert (told.added, told.differing) == (0, 2)
    assert "--replace takes those of the file" in caplog.text
    assert kept == sorted((row["text"], row["label"]) for row in rows)
    assert (replaced.added, replaced.differing) == (0, 2)
    assert _pairs(collection) == sorted((row["text"], row["label"]) for row in corrected)
    assert [each["created_at"] for each in collection.find().sort("_id")] == dates
    assert collection.find_one({"_id": "film-0"})["note"] == "of somebody"
    assert seed("reviews", file=file).differing == 0


def test_equal_texts_in_one_file_become_several_documents(collection: Any, tmp_path: Path) -> None:
    file = _write(tmp_path / "texts.csv", [ROWS[0], ROWS[1], ROWS[0], ROWS[0]])

    first, again = seed("reviews", file=file), seed("reviews", file=file)

    assert (first.added, again.added) == (4, 0)
    assert collection.count_documents({"text": ROWS[0]["text"]}) == 3


def test_names_of_labels_are_stored_as_their_values(
    problem: Problem, collection: Any, tmp_path: Path, run_task: Any
) -> None:
    rows = [
        {"text": "A warm, funny film", "label": "positive"},
        {"text": "A dull and empty film", "label": "negative"},
        {"text": "A film about something", "label": "neutral"},
    ]

    seed("reviews", file=_write(tmp_path / "texts.csv", rows))

    assert [label for _, label in _pairs(collection)] == [0, "neutral", 1]
    ingested = run_task(ingest, problem)
    assert (ingested.accounts.used, sum(ingested.accounts.in_quarantine.values())) == (2, 1)


def test_columns_and_source_are_chosen(collection: Any, tmp_path: Path) -> None:
    rows = [
        {"body": "A warm, funny film", "verdict": 1, "source": "web"},
        {"body": "A dull and empty film", "verdict": 0, "source": "paper"},
    ]
    file = _write(tmp_path / "texts.csv", rows)

    seeded = seed("reviews", file=file, text_column="body", label_column="verdict", source="web")

    assert seeded.added == 1
    (document,) = collection.find()
    assert (document["text"], document["label"], document["source"]) == (
        "A warm, funny film",
        1,
        "web",
    )


def test_a_source_that_is_a_number_is_chosen_too(collection: Any, tmp_path: Path) -> None:
    rows = [row | {"source": 2020 + number} for number, row in enumerate(ROWS)]

    seeded = seed("reviews", file=_write(tmp_path / "texts.csv", rows), source="2021")

    assert seeded.added == 1
    assert [document["source"] for document in collection.find()] == ["2021"]


def test_documents_of_the_fields_of_the_problem(
    write_problem: Any, collection: Any, tmp_path: Path
) -> None:
    write_problem(source={"fields": {"text": "review", "label": "stars", "created_at": "written"}})

    seed("reviews", file=_write(tmp_path / "texts.csv", ROWS))

    document = collection.find_one({"stars": 1})
    assert document["review"] == "A warm, funny film"
    assert document.keys() == {"_id", "review", "stars", "written", "source"}


def test_columns_that_nobody_declares_are_kept_with_the_dates_and_ids_of_the_file(
    problem: Problem, collection: Any, tmp_path: Path
) -> None:
    file = tmp_path / "tickets.csv"
    file.write_bytes(
        "number;text;label;created_at;customer\n"
        "007;Très drôle, ce film;positive;2026-01-31T12:00:00+01:00;12\n".encode("windows-1252")
    )

    seed("reviews", file=file, id_column="number", encoding="windows-1252")
    again = seed("reviews", file=file, id_column="number", encoding="windows-1252")

    assert (again.documents, again.added) == (1, 0)
    assert list(collection.find()) == [
        {
            "_id": "007",
            "text": "Très drôle, ce film",
            "label": 1,
            "created_at": datetime(2026, 1, 31, 11, tzinfo=UTC),
            "customer": "12",
            "source": "tickets",
        }
    ]


def test_one_row_that_cannot_be_used_is_one_in_quarantine(
    write_problem: Any, collection: Any, tmp_path: Path, run_task: Any
) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "A warm, funny film", "label": 1}\n{"text": 5, "label": "x"}\n')

    seeded = seed("reviews", file=file)

    assert seeded.added == 2
    ingested = run_task(ingest, write_problem())
    assert (ingested.accounts.used, sum(ingested.accounts.in_quarantine.values())) == (1, 1)


def test_a_missing_column_is_named_with_those_that_there_are(
    problem: Problem, tmp_path: Path
) -> None:
    file = _write(tmp_path / "texts.csv", ROWS)

    with pytest.raises(OutsideError, match=r"texts.csv has no column 'body'; it has text, label"):
        seed("reviews", file=file, text_column="body")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.csv", None),
        ("empty.csv", b""),
        ("ragged.csv", b"text,label\nb,1,2\n"),
        ("wild.csv", bytes(range(256))),
        ("broken.jsonl", b'{"text": "a", '),
        ("text.parquet", b"no parquet"),
        ("texts.xlsx", b"PK"),
        ("texts", b"text,label\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    name: str, content: bytes | None, problem: Problem, collection: Any, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(OutsideError, match=rf"file .*{name}"):
        seed("reviews", file=tmp_path / name)
    assert collection.count_documents({}) == 0


def test_the_film_reviews_are_real_and_balanced(machine: Settings) -> None:
    rows = read_file(reviews_file(), text="text", label="label", source="imdb")

    assert len(rows) == 25_000
    assert sum(rows["label"].to_pylist()) == 12_500


_RECORDS: dict[str, Any] = {
    "inputs": {"student": "category", "code": "category", "balance": "number"},
    "labels": {"no": 0, "yes": 1},
    "metric": "accuracy",
    "candidates": {"tree": {"estimator": "decision_tree"}},
}


@pytest.fixture
def write_records(collection: Any, machine: Settings) -> Callable[..., Problem]:
    """Return a function that writes a problem about records, over the same collection."""

    def write(**changes: Any) -> Problem:
        source = {"database": collection.database.name, "collection": collection.name}
        fields = {"fields": changes.pop("fields", {})}
        path = machine.problems_dir / "reviews.yaml"
        with path.open("w") as file:
            YAML(typ="safe").dump(_RECORDS | changes | {"source": source | fields}, file)
        return load_problem(path)

    return write


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"labels": {"no": "0", "yes": "1"}}, {}),
        ({"labels": {"no": False, "yes": True}}, {}),
        ({"inputs": {"student": "boolean"}}, {"inputs": {"student": "category"}}),
        ({"inputs": {"student": "category"}}, {"inputs": {"student": "boolean"}}),
        ({"inputs": {"code": "number"}}, {"inputs": {"code": "category"}}),
        ({"inputs": {"code": "category"}}, {"inputs": {"code": "number"}}),
        ({"fields": {"label": "lable"}}, {}),
    ],
    ids=["text", "truth", "not a boolean", "a boolean", "not a number", "a number", "a name"],
)
def test_a_file_is_read_anew_when_the_problems_file_was_wrong_and_is_mended(
    wrong: dict[str, Any],
    right: dict[str, Any],
    write_records: Callable[..., Problem],
    collection: Any,
    tmp_path: Path,
    run_task: Any,
) -> None:
    lines = [f"{('No', 'Yes')[n % 2]},{n:02},{n}.50,{n % 3 // 2}" for n in range(12)]
    file = tmp_path / "clients.csv"
    file.write_text("\n".join(["student,code,balance,label", *lines]))

    def changed(changes: dict[str, Any]) -> Problem:
        inputs = _RECORDS["inputs"] | changes.get("inputs", {})
        return write_records(**(changes | {"inputs": inputs}))

    changed(wrong)
    seed("reviews", file=file)
    collection.update_one({"balance": 3.5}, {"$set": {"balance": 99.5}})
    problem = changed(right)

    again = seed("reviews", file=file)

    assert (again.documents, again.added, again.reread, again.differing) == (12, 0, 12, 1)
    assert collection.find_one({"balance": 99.5})
    ingested = run_task(ingest, problem)
    assert (ingested.accounts.used, ingested.accounts.in_quarantine) == (12, {})
    assert seed("reviews", file=file).reread == 0


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["code"], ["code", "student", "note"]),
        (["code", "student", "note"], ["code"]),
        (["note"], ["student"]),
    ],
    ids=["inputs are added", "inputs are taken away", "another input"],
)
def test_a_file_without_ids_is_not_loaded_twice_when_the_inputs_have_changed(
    before: list[str],
    after: list[str],
    ending: str,
    write_records: Callable[..., Problem],
    collection: Any,
    tmp_path: Path,
) -> None:
    kinds = {"code": "category", "student": "boolean", "note": "text"}
    rows = [
        {"code": f"{n:02}", "student": ("No", "Yes")[n % 2], "note": f"n\xba {n}", "label": n % 2}
        for n in range(12)
    ]
    file = _write(tmp_path / f"clients.{ending}", [*rows, rows[0]])
    write_records(inputs={name: kinds[name] for name in before})
    assert seed("reviews", file=file).added == 13

    write_records(inputs={name: kinds[name] for name in after})

    assert seed("reviews", file=file).added == 0
    assert collection.count_documents({}) == 13
    # A row that came since is added, and so is one that the file has once more.
    file = _write(file, [*rows, rows[0], rows[0], rows[1] | {"code": "99", "note": "new"}])
    assert seed("reviews", file=file).added == 2


def test_a_file_of_the_same_name_with_other_columns_is_told_apart_by_its_own(
    write_records: Callable[..., Problem], collection: Any, tmp_path: Path
) -> None:
    file = tmp_path / "clients.csv"
    write_records(inputs={"width": "number"})
    file.write_text("width,label\n5.5,1\n6.5,0\n")
    seed("reviews", file=file)
    write_records(inputs={"height": "number"})
    file.write_text("height,label\n5.5,1\n6.5,0\n7.5,0\n")

    assert seed("reviews", file=file).added == 1
    assert seed("reviews", file=file).added == 0


def test_what_somebody_has_corrected_is_no_other_reading_of_the_file(
    write_records: Callable[..., Problem], collection: Any, tmp_path: Path
) -> None:
    write_records()
    file = tmp_path / "clients.csv"
    file.write_text("student,code,balance,label\nYes,01,5.5,1\n")
    seed("reviews", file=file)
    corrected = {"student": "No", "code": "02", "balance": 6.5, "label": 0}
    collection.update_one({}, {"$set": corrected})

    again = seed("reviews", file=file)

    assert (again.reread, again.differing) == (0, 1)
    assert collection.find_one().items() >= corrected.items()


def test_rows_that_an_earlier_release_has_loaded_are_not_loaded_again(
    write_records: Callable[..., Problem], collection: Any, tmp_path: Path
) -> None:
    write_records(inputs={"width": "number"})
    file = tmp_path / "plants.csv"
    file.write_text("width,label\n5.10,1\n5.1,1\n7.0,0\n")
    # An earlier release made ids of the values, and counted equal ones together.
    seen: Counter[bytes] = Counter()
    rows = [(1, 5.1), (1, 5.1), (0, 7.0)]
    ids = [content_id("plants", row, seen) for row in rows]
    for key, (label, width) in zip(ids, rows, strict=True):
        collection.insert_one({"_id": key, "width": width, "label": label, "source": "plants"})

    again = seed("reviews", file=file)

    assert (again.added, again.reread, again.differing) == (0, 0, 0)
    assert {each["_id"] for each in collection.find()} == set(ids)
