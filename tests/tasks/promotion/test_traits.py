"""What slices are made of travels from the documents into snapshots and on to the holdout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perennial.config.problem import Problem
from perennial.settings import Settings
from perennial.stores.snapshots.store import SnapshotStore
from tasks.data.ingest import ingest
from tasks.data.prepare import prepare

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
