"""Monitor compares with a sample of the holdout, and reads nothing else of a snapshot for it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial.config.problem import Problem
from perennial.documents.documents import in_holdout
from perennial.documents.judgement import Rules
from perennial.documents.revisions import Found, to_revisions
from perennial.erasure.table import erase_rows
from perennial.inputs.base import inputs_of
from perennial.registry.model_version import ModelVersion
from perennial.registry.tags import TAG, VersionTags
from perennial.settings import Settings
from perennial.stores.snapshots import store as snapshot_store
from perennial.stores.snapshots.samples import keep_sample, read_sample
from perennial.stores.snapshots.snapshot import SAMPLE
from perennial.stores.snapshots.store import Draft, Snapshot, SnapshotStore
from perennial.stores.snapshots.tombstones import Tombstone, digest_of_id
from tasks.data.ingest import ingest
from tasks.data.prepare import prepare
from tasks.monitoring import holdout_sample as drawing
from tasks.monitoring.holdout_sample import holdout_sample, keep_holdout_sample

_SIZE = 100
_IDENTITY = 2
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_RECORDS: dict[str, Any] = {
    "name": "flowers",
    "source": {"database": "flowers", "collection": "flowers"},
    "inputs": {"length": "number", "color": "category"},
    "labels": {"small": 0, "large": 1},
    "candidates": {"logistic": {"estimator": "logistic_regression"}},
    "monitoring": {"sample": _SIZE, "min_documents": 20},
}

Run = Callable[..., Any]


@pytest.fixture
def sampled(write_problem: Callable[..., Problem]) -> Problem:
    """Short film reviews, of whose holdout few are compared."""
    return write_problem(monitoring={"sample": _SIZE, "min_documents": 20})


@pytest.fixture
def few(sampled: Problem, machine: Settings) -> SnapshotStore:
    """The snapshots of these reviews."""
    return SnapshotStore(sampled.name, machine)


@pytest.fixture
def snapshot(sampled: Problem, collection: Any, documents: Any, run_task: Run) -> Snapshot:
    """A snapshot of 900 reviews."""
    collection.insert_many(documents(900))
    found: Snapshot = run_task(ingest, sampled).snapshot
    return found


@pytest.fixture
def no_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no version be Production yet."""

    class Empty:
        def production(self, name: str) -> None:
            """There is none."""

    monkeypatch.setattr(drawing, "open_registry", lambda _: Empty())


def _version(problem: Problem, snapshot: Snapshot, number: int = 1) -> ModelVersion:
    """Return what a retraining of a snapshot registers."""
    tags = VersionTags(
        holdout=problem.holdout,
        split=problem.split.by,
        feedback=problem.feedback.use,
        feedback_documents=0,
        snapshot=(snapshot.version, snapshot.digest),
    ).as_tags()
    return ModelVersion(problem.name, number, "run", {TAG + k: v for k, v in tags.items()})


def _files(store: SnapshotStore, kind: str) -> list[Path]:
    return sorted(Path(store.table.uri, f"kind={kind}").glob("*.parquet"))


def _written(store: SnapshotStore, problem: Problem, found: list[dict[str, Any]]) -> Snapshot:
    """Write the first snapshot of a problem, of these documents."""
    rows = to_revisions([Found(each, 0) for each in found], problem, _IDENTITY)
    kinds = inputs_of(problem).fields
    return store.append([rows], Draft(Rules.of(problem), "as always", _IDENTITY, kinds), None)


def test_the_sample_that_a_retraining_keeps_is_the_one_that_is_drawn_without_it(
    sampled: Problem, few: SnapshotStore, snapshot: Snapshot, no_production: None, run_task: Run
) -> None:
    version = _version(sampled, snapshot)
    drawn = holdout_sample(sampled, version)[1]
    shutil.rmtree(few.table.uri)
    again = run_task(ingest, sampled).snapshot
    assert again.digest == snapshot.digest

    run_task(keep_holdout_sample, sampled, version, run_task(prepare, sampled, again))
    for file in _files(few, "revision"):
        file.unlink()

    assert holdout_sample(sampled, version)[1].equals(drawn)
    assert len(drawn) == _SIZE


@pytest.mark.parametrize("kind", ["text", "record"])
def test_a_sample_that_was_drawn_is_read_without_any_revision(
    kind: str, write_problem: Callable[..., Problem], machine: Settings
) -> None:
    problem = write_problem(monitoring={"sample": _SIZE, "min_documents": 20})
    if kind == "record":
        problem = Problem.model_validate(_RECORDS)
    store = SnapshotStore(problem.name, machine)
    given = {"text": lambda n: {"text": f"film number {n} is as good as {n * 7}"}}.get(
        kind, lambda n: {"length": n / 7 if n % 5 else None, "color": f"shade {n % 40}"}
    )
    label = next(iter(problem.labels.values()))
    snapshot = _written(
        store,
        problem,
        [{"_id": n, "label": label, "created_at": _NOW, **given(n)} for n in range(900)],
    )
    version = _version(problem, snapshot)

    _, first = holdout_sample(problem, version)
    for file in _files(store, "revision"):
        file.unlink()
    _, second = holdout_sample(problem, version)

    whole = in_holdout(first["content"].combine_chunks(), problem.holdout)
    assert second.equals(first)
    assert whole.all()
    assert len(first) == _SIZE


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1))
def test_which_documents_are_drawn_depends_on_nothing_but_what_they_say(
    seed: int,
    sampled: Problem,
    machine: Settings,
    snippets: list[tuple[str, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Order, ids, times and labels are drawn anew each time; the sample has the same texts."""
    draw = np.random.default_rng(seed)
    labels = list(sampled.labels.values())

    def sample(order: list[int]) -> list[str]:
        elsewhere = machine.model_copy(update={"data_dir": tmp_path_factory.mktemp("snapshots")})
        store = SnapshotStore(sampled.name, elsewhere)
        found = [
            {
                "_id": f"{draw.integers(1 << 60)}",
                "text": snippets[number][0],
                "label": labels[draw.integers(len(labels))],
                "created_at": datetime.fromtimestamp(int(draw.integers(1 << 30)), UTC),
            }
            for number in order
        ]
        version = _version(sampled, _written(store, sampled, found))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drawing, "get_settings", lambda: elsewhere)
            patch.setattr("tasks.promotion.unseen.get_settings", lambda: elsewhere)
            return list(holdout_sample(sampled, version)[1]["text"].to_pylist())

    assert sample(list(range(800))) == sample(draw.permutation(800).tolist())


def test_the_sample_has_each_kind_of_document_as_often_as_the_holdout(
    write_problem: Callable[..., Problem], machine: Settings
) -> None:
    problem = write_problem(
        monitoring={"sample": 400, "min_documents": 20}, split={"near_copies": "ignore"}
    )
    store, labels = SnapshotStore(problem.name, machine), list(problem.labels.values())
    # One label in ten, and lengths, which a sample must not prefer.
    found = [
        {
            "_id": n,
            "text": f"This is film {n}" + " and so on" * (n % 20),
            "label": labels[n % 10 == 0],
            "created_at": _NOW,
        }
        for n in range(6_000)
    ]
    snapshot = _written(store, problem, found)

    _, sample = holdout_sample(problem, _version(problem, snapshot))

    rare = np.array([label == list(problem.labels)[1] for label in sample["label"].to_pylist()])
    lengths = np.array([text.count("and so on") for text in sample["text"].to_pylist()])
    # Five standard errors of 400 draws of 1,200.
    assert len(sample) == 400
    assert abs(rare.mean() - 0.1) < 5 * 0.3 / 20
    assert abs(lengths.mean() - 9.5) < 5 * 5.77 / 20


def test_an_erased_document_is_in_no_sample_and_in_no_byte_of_one(
    sampled: Problem, few: SnapshotStore, snapshot: Snapshot
) -> None:
    version = _version(sampled, snapshot)
    _, before = holdout_sample(sampled, version)
    gone, text = before["id"][0].as_py(), before["text"][0].as_py()

    few.bury([Tombstone(digest_of_id(few.problem, gone), _NOW, "somebody", "asked for")])
    erase_rows(few, few.erased())
    few.table.purge()
    kept = few.table.read(["id", "text"], [("kind", "=", SAMPLE)])
    _, after = holdout_sample(sampled, version)

    assert gone not in kept["id"].to_pylist()
    assert text not in kept["text"].to_pylist()
    assert len(kept) == _SIZE - 1
    # Another one takes its place.
    assert after["id"].to_pylist()[: _SIZE - 1] == before["id"].to_pylist()[1:]
    assert len(after) == _SIZE


def test_a_sample_that_is_written_after_an_erasure_is_without_what_was_erased(
    sampled: Problem, few: SnapshotStore, snapshot: Snapshot
) -> None:
    _, rows = holdout_sample(sampled, _version(sampled, snapshot))
    gone = rows["id"][3].as_py()
    few.bury([Tombstone(digest_of_id(few.problem, gone), _NOW, "somebody", "asked for")])

    keep_sample(few, snapshot, "late", rows)
    kept = read_sample(few, snapshot, "late")

    assert kept is not None
    assert kept["id"].to_pylist() == [key for key in rows["id"].to_pylist() if key != gone]


def test_a_sample_is_kept_beside_that_of_production_and_of_nobody_else(
    sampled: Problem, few: SnapshotStore, snapshot: Snapshot
) -> None:
    _, rows = holdout_sample(sampled, _version(sampled, snapshot))
    for key, beside in (("first", []), ("second", ["first"]), ("third", ["first"])):
        assert keep_sample(few, snapshot, key, rows, beside=beside)

    kept = [read_sample(few, snapshot, key) is not None for key in ("first", "second", "third")]
    assert kept == [True, False, True]
    assert few.read(snapshot).num_rows == snapshot.documents


def test_a_sample_that_is_not_what_was_written_is_drawn_anew(
    sampled: Problem, few: SnapshotStore, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = _version(sampled, snapshot)
    _, right = holdout_sample(sampled, version)
    spoiled = right.set_column(1, "label", pa.array(["positive"] * len(right)))
    read = few.table.read(["record"], [("kind", "=", SAMPLE)])["record"][0].as_py()
    with monkeypatch.context() as patch:
        patch.setattr(
            "perennial.stores.snapshots.samples._digests",
            lambda rows: pa.array([b"another"] * len(rows), pa.binary()),
        )
        keep_sample(few, snapshot, read, spoiled)

    assert read_sample(few, snapshot, read) is None
    assert holdout_sample(sampled, version)[1].equals(right)


def test_who_may_read_but_not_write_draws_the_same_sample(
    sampled: Problem, few: SnapshotStore, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise few.table.outside("written", PermissionError("denied"))

    version = _version(sampled, snapshot)
    with monkeypatch.context() as patch:
        patch.setattr(snapshot_store.Table, "replace", refuse)
        patch.setattr(drawing, "get_run_logger", lambda: logging.getLogger("test"))
        _, first = holdout_sample(sampled, version)
        assert not _files(few, SAMPLE)
    assert holdout_sample(sampled, version)[1].equals(first)
