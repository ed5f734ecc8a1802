"""What slices are made of travels from the documents into snapshots and on to the holdout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import perennial.stores.snapshots
from perennial.config.problem import Problem
from perennial.settings import Settings
from perennial.stores.snapshots import SCHEMA, SnapshotStore
from tasks.data.ingest import ingest
from tasks.data.prepare import prepare
from tests.perennial.stores.test_snapshots import _rows

SLICES = {"slices": {"margin": 0.1, "fields": ["film.country", "stars"], "source": True}}


def test_a_snapshot_keeps_the_fields_that_slices_name(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    machine: Settings,
    run_task: Callable[..., Any],
) -> None:
    problem = write_problem(gates=SLICES)
    made = documents(40)
    for number, document in enumerate(made):
        document |= {"film": {"country": "DE" if number % 4 else "FR"}, "stars": number % 2 + 1}
    del made[0]["film"], made[1]["source"]
    collection.insert_many(made)

    snapshot = run_task(ingest, problem).snapshot
    rows = SnapshotStore(problem.name, machine).read(snapshot)
    dataset = run_task(prepare, problem, snapshot)

    found = {
        row["id"]: (row["source"], row["fields"] and dict(row["fields"]))
        for row in rows.to_pylist()
    }
    assert found["review-0"] == ("test", {"stars": "1"})
    assert found["review-1"] == (None, {"film.country": "DE", "stars": "2"})
    assert found["review-4"] == ("test", {"film.country": "FR", "stars": "1"})
    assert dataset.holdout_traits.num_rows == len(dataset.holdout_labels)
    assert dataset.holdout_traits["length"].to_pylist() == [
        len(text) for text in dataset.holdout_inputs.to_pylist()
    ]


def test_a_problem_without_slices_reads_no_more_of_a_document_than_before(
    problem: Problem, collection: Any, documents: Any, machine: Settings, run_task: Any
) -> None:
    collection.insert_many(document | {"stars": 5} for document in documents(4))

    rows = SnapshotStore(problem.name, machine).read(run_task(ingest, problem).snapshot)

    assert rows["fields"].null_count == len(rows) == 4


def test_snapshots_that_were_begun_without_these_fields_read_on_and_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SnapshotStore("reviews", Settings(data_uri=str(tmp_path)))
    old = pa.schema([field for field in SCHEMA if field.name != "fields"])
    with monkeypatch.context() as before:
        before.setattr(perennial.stores.snapshots, "SCHEMA", old)
        first = store.append(_rows(1, 2).drop_columns(["fields"]), None)
    assert store.read(first)["fields"].to_pylist() == [None, None]

    fields = pa.array([[("country", "DE")]], SCHEMA.field("fields").type)
    newer = _rows(3)
    newer = newer.set_column(newer.column_names.index("fields"), SCHEMA.field("fields"), fields)
    second = store.append(newer, first)

    rows = {row["id"]: row["fields"] for row in store.read(second).to_pylist()}
    assert rows == {"review-1": None, "review-2": None, "review-3": [("country", "DE")]}
    assert store.find(first.digest) == first
    assert store.read(store.find(0))["fields"].to_pylist() == [None, None]
