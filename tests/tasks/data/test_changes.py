"""A collection that changes its mind: after each retraining the snapshot equals the collection."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from perennial.config.problem import Problem
from perennial.config.sections.fields import FieldSpec
from perennial.errors import OutsideError
from perennial.settings import Settings
from perennial.stores.snapshots.store import Snapshot, SnapshotStore
from tasks.data.ingest import IngestResult, ingest
from tests.conftest import HOUR, MIDNIGHT, MINUTE
from tests.searches import tried
from tests.tasks.conftest import Ingest
from tests.tasks.contents import reasons_of

Documents = Callable[..., list[dict[str, Any]]]


def _labels(store: SnapshotStore, snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    """Return id -> text and label of the documents that a snapshot uses."""
    rows = store.read(snapshot).select(["id", "text", "label"]).to_pylist()
    found = {row["id"]: (row["text"], row["label"]) for row in rows}
    assert len(found) == len(rows) == snapshot.documents
    return found


def _changes(result: IngestResult) -> dict[str, int]:
    names = ("new", "corrected", "edited", "deleted", "released")
    return {name: value for name in names if (value := getattr(result.accounts, name))}


@pytest.fixture
def ten(collection: Any, documents: Documents, ingest_now: Ingest) -> list[dict[str, Any]]:
    """Ten documents, which a first snapshot has."""
    made = documents(10)
    collection.insert_many(made)
    assert _changes(ingest_now()) == {"new": 10}
    return made


def test_a_corrected_label_reaches_the_next_snapshot_and_not_the_earlier_one(
    collection: Any, ten: list[dict[str, Any]], ingest_now: Ingest, store: SnapshotStore
) -> None:
    before = ingest_now().snapshot
    named = {0: "negative", 1: "positive"}
    collection.update_one({"_id": ten[0]["_id"]}, {"$set": {"label": 1 - ten[0]["label"]}})

    result = ingest_now()

    assert _changes(result) == {"corrected": 1}
    assert _labels(store, result.snapshot)[ten[0]["_id"]][1] == named[1 - ten[0]["label"]]
    assert _labels(store, before)[ten[0]["_id"]][1] == named[ten[0]["label"]]
    assert result.snapshot.digest != before.digest


def test_an_edited_text_a_deletion_and_a_new_insertion_reach_the_next_snapshot(
    collection: Any,
    documents: Documents,
    ten: list[dict[str, Any]],
    ingest_now: Ingest,
    store: SnapshotStore,
) -> None:
    (other,) = documents(1, first=50)
    collection.update_one({"_id": ten[1]["_id"]}, {"$set": {"text": other["text"]}})
    collection.delete_one({"_id": ten[2]["_id"]})

    result = ingest_now()

    assert _changes(result) == {"edited": 1, "deleted": 1}
    found = _labels(store, result.snapshot)
    assert found[ten[1]["_id"]][0] == other["text"]
    assert ten[2]["_id"] not in found

    again = {"_id": "anew", "label": 1 - ten[2]["label"]}
    collection.insert_one(ten[2] | again)
    collection.insert_one(ten[2] | {"_id": ten[2]["_id"], "text": "Quite another text it is."})
    result = ingest_now()
    assert _changes(result) == {"new": 2}
    assert _labels(store, result.snapshot)["anew"][0] == ten[2]["text"]
    assert not result.accounts.in_quarantine


def test_a_correction_of_one_of_two_copies_ends_the_contradiction(
    collection: Any, ten: list[dict[str, Any]], ingest_now: Ingest, store: SnapshotStore
) -> None:
    later = ten[-1]["created_at"] + HOUR
    copy = ten[0] | {"_id": "copy", "label": 1 - ten[0]["label"], "created_at": later}
    collection.insert_one(copy)
    held = ingest_now()
    assert reasons_of(store, held).keys() == {"copy"}

    collection.update_one({"_id": "copy"}, {"$set": {"label": ten[0]["label"]}})
    mended = ingest_now()

    assert _changes(mended) == {"corrected": 1, "released": 1}
    assert (mended.accounts.used, mended.accounts.duplicates) == (10, 1)
    # When the original goes, its copy takes its place.
    collection.delete_one({"_id": ten[0]["_id"]})
    assert "copy" in _labels(store, ingest_now().snapshot)


@pytest.mark.parametrize("way", ["by the change stream", "by comparing everything"])
def test_nothing_is_read_twice_where_nothing_has_changed(
    way: str, collection: Any, documents: Documents, request: pytest.FixtureRequest
) -> None:
    if way == "by comparing everything":
        request.getfixturevalue("no_change_stream")
    ingest_now = request.getfixturevalue("ingest_now")
    collection.insert_many(documents(10))
    ingest_now()

    first, second = ingest_now(), ingest_now()

    assert first.snapshot == second.snapshot
    assert first.snapshot.version == 0
    assert not second.accounts.changed


def test_a_stream_that_has_forgotten_the_place_gives_way_to_a_comparison(
    collection: Any,
    ten: list[dict[str, Any]],
    ingest_now: Ingest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pymongo.errors import OperationFailure

    watch = type(collection).watch

    def forgetful(self: Any, *args: Any, **options: Any) -> Any:
        if options.get("resume_after"):
            raise OperationFailure("the resume point is not in the log any more", 286)
        return watch(self, *args, **options)

    collection.delete_one({"_id": ten[0]["_id"]})
    with monkeypatch.context() as patched:
        patched.setattr(type(collection), "watch", forgetful)
        assert _changes(ingest_now()) == {"deleted": 1}

    collection.delete_one({"_id": ten[1]["_id"]})
    assert _changes(ingest_now()) == {"deleted": 1}


def test_a_collection_that_was_dropped_and_filled_again_is_compared(
    collection: Any, documents: Documents, ten: list[dict[str, Any]], ingest_now: Ingest
) -> None:
    collection.drop()
    collection.insert_many([*ten[:4], *documents(3, first=60)])

    assert _changes(ingest_now()) == {"new": 3, "deleted": 6}


def test_a_large_collection_without_a_stream_is_compared_when_it_is_time_and_on_demand(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Documents,
    run_task: Any,
    no_change_stream: None,
) -> None:
    problem = write_problem(source={"reconcile": {"up_to": 0}})
    made = documents(10)
    collection.insert_many(made)
    run_task(ingest, problem)
    collection.delete_one({"_id": made[0]["_id"]})

    assert not run_task(ingest, problem).accounts.changed
    assert _changes(run_task(ingest, problem, rescan=True)) == {"deleted": 1}

    collection.delete_one({"_id": made[1]["_id"]})
    often = write_problem(source={"reconcile": {"up_to": 0, "every": "PT0.001S"}})
    assert _changes(run_task(ingest, often)) == {"deleted": 1}


def test_a_field_that_says_when_a_document_was_changed_finds_edits_without_a_stream(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Documents,
    run_task: Any,
    no_change_stream: None,
) -> None:
    fields = {"updated_at": "updated_at"}
    problem = write_problem(source={"reconcile": {"up_to": 0}, "fields": fields})
    made = [each | {"updated_at": MIDNIGHT} for each in documents(10)]
    collection.insert_many(made)
    run_task(ingest, problem)
    now = datetime.now(UTC) + MINUTE
    change = {"label": 1 - made[3]["label"], "updated_at": now}
    collection.update_one({"_id": made[3]["_id"]}, {"$set": change})

    assert _changes(run_task(ingest, problem)) == {"corrected": 1}


def _insert_three_values(collection: Any, documents: Documents) -> None:
    """Insert 30 documents, ten with each of three values of the label."""
    collection.insert_many([each | {"label": n % 3} for n, each in enumerate(documents(30))])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"bad": 0, "positive": 1}, {"bad", "positive"}),
        ({"negative": 0, "positive": 1, "neutral": 2}, {"negative", "positive", "neutral"}),
    ],
    ids=["renamed", "added"],
)
def test_labels_of_the_file_apply_to_what_was_read_before(
    labels: dict[str, int],
    expected: set[str],
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Documents,
    run_task: Any,
    store: SnapshotStore,
) -> None:
    _insert_three_values(collection, documents)
    first = run_task(ingest, write_problem())
    assert first.accounts.used == 20

    candidates = {
        "tfidf-logistic": {
            "preparation": "plain",
            "features": {"weighting": "tfidf"},
            "estimator": "logistic_regression",
        }
    }
    result = run_task(ingest, write_problem(labels=labels, candidates=candidates))

    assert set(store.read(result.snapshot)["label"].to_pylist()) == expected
    assert not result.accounts.changed
    assert result.accounts.released == (10 if len(labels) == 3 else 0)
    assert set(store.read(first.snapshot)["label"].to_pylist()) == {"negative", "positive"}


def test_values_that_mean_the_same_are_merged_into_a_label_and_split_again(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Documents,
    run_task: Any,
    store: SnapshotStore,
) -> None:
    _insert_three_values(collection, documents)
    run_task(ingest, write_problem())

    merged = run_task(ingest, write_problem(merge_labels={"negative": [2]}))

    assert merged.accounts.released == 10
    found = store.read(merged.snapshot)["label"].to_pylist()
    assert (found.count("negative"), found.count("positive")) == (20, 10)
    again = run_task(ingest, write_problem())
    assert (again.accounts.used, sum(again.accounts.quarantined.values())) == (20, 10)


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": {"negative": "0", "positive": "1"}},
        {"limits": {"min_words": 500}},
        {"source": {"fields": {"text": "txet"}}},
        {"source": {"fields": {"created_at": "createdAt"}}},
        {"source": {"query": {"label": {"$gt": 7}}}},
        {"inputs": {"text": FieldSpec(kind="number")}},
    ],
    ids=["labels", "limits", "the text's name", "the date's name", "query", "kinds of fields"],
)
def test_a_problem_file_that_was_wrong_once_does_no_lasting_harm(
    wrong: dict[str, Any],
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Documents,
    run_task: Any,
    store: SnapshotStore,
) -> None:
    made = documents(20)
    collection.insert_many(made)
    if "inputs" in wrong:
        mistaken = write_problem().model_copy(update=wrong)
    else:
        mistaken = write_problem(**wrong)
    with pytest.raises(OutsideError):
        run_task(ingest, mistaken)

    result = run_task(ingest, write_problem())

    assert result.accounts.used == 20
    assert not result.accounts.in_quarantine
    assert _labels(store, result.snapshot).keys() == {each["_id"] for each in made}


# What happens to a collection: an operation, one of a few documents, a text, and a label.
_OPERATION = st.tuples(
    st.sampled_from(["put", "label", "text", "delete", "date"]),
    st.integers(0, 7),
    st.integers(0, 5),
    st.integers(0, 3),
)
_HISTORY = st.lists(
    st.tuples(st.lists(_OPERATION, max_size=6), st.sampled_from(["stream", "all", "lost"])),
    min_size=1,
    max_size=5,
)


@tried(0.3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=_HISTORY)
def test_after_any_history_the_snapshot_is_what_the_collection_says(
    history: list[tuple[list[tuple[str, int, int, int]], str]],
    problem: Problem,
    collection: Any,
    documents: Documents,
    machine: Settings,
    run_task: Any,
) -> None:
    collection.delete_many({})
    shutil.rmtree(machine.snapshots_uri, ignore_errors=True)
    texts = [each["text"] for each in documents(6)]
    # Enough of what never changes, so that there always is something to use.
    fixed = [each | {"_id": f"fixed-{n}"} for n, each in enumerate(documents(4, first=40))]
    collection.insert_many(fixed)
    store = SnapshotStore(problem.name, machine)
    seen: list[tuple[Snapshot, dict[str, tuple[str, str]]]] = []
    for operations, way in history:
        for operation in operations:
            _apply(collection, texts, *operation)
        if way == "lost":
            _lose_a_commit(problem, run_task)
        result = run_task(ingest, problem, rescan=way == "all")
        expected = _model(list(collection.find()))
        assert _labels(store, result.snapshot) == expected
        seen.append((result.snapshot, expected))
    for snapshot, expected in seen:
        assert _labels(store, snapshot) == expected


def _apply(collection: Any, texts: list[str], what: str, key: int, text: int, label: int) -> None:
    identifier = f"doc-{key}"
    if what == "put":
        document = {"text": texts[text], "label": label, "created_at": MIDNIGHT + key * MINUTE}
        collection.replace_one({"_id": identifier}, document, upsert=True)
    elif what == "delete":
        collection.delete_one({"_id": identifier})
    else:
        value = {"label": label, "text": texts[text], "date": MIDNIGHT + timedelta(days=text)}[what]
        field = "created_at" if what == "date" else what
        collection.update_one({"_id": identifier}, {"$set": {field: value}})


def _lose_a_commit(problem: Problem, run_task: Any) -> None:
    """Let an ingestion die when its rows are made, before they are committed."""
    from perennial.stores.snapshots import delta

    def die(*args: Any, **options: Any) -> None:
        for _ in args[1]:
            pass
        raise OSError("the disk is gone")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(delta, "write_deltalake", die)
        with suppress(OutsideError):
            run_task(ingest, problem)


def _model(documents: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return what a snapshot should use, by the rules as a person would say them."""
    labels = {0: "negative", 1: "positive"}
    usable = [each for each in documents if each["label"] in labels]
    usable.sort(key=lambda each: (each["created_at"], each["_id"]))
    first: dict[str, dict[str, Any]] = {}
    for each in usable:
        first.setdefault(each["text"], each)
    return {each["_id"]: (each["text"], labels[each["label"]]) for each in first.values()}
