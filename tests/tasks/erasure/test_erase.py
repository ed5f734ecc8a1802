"""Erased documents are gone from every snapshot, and are never read again."""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from bson import Int64, ObjectId
from pymongo import MongoClient

from perennial.config.problem import Problem
from perennial.documents.keys import document_key
from perennial.erasure import table as erasure_table
from perennial.erasure.search import Needle, found_in
from perennial.erasure.table import erase_rows, ids_of_copies, stored_of
from perennial.errors import OutsideError
from perennial.inputs.base import inputs_of
from perennial.settings import Settings
from perennial.stores.snapshots.kept_counts import COUNTS
from perennial.stores.snapshots.store import SnapshotStore
from perennial.stores.snapshots.tombstones import Tombstone, Tombstones, digest_of_id
from tasks.data.ingest import ingest
from tasks.data.prepare import prepare
from tasks.erasure.erase import Wish, _bury, _gather, _purge, _recognise, find_keys
from tests.conftest import HOUR, MIDNIGHT
from tests.flowers import flowers, write_iris
from tests.tasks.conftest import Ingest

Documents = Callable[..., list[dict[str, Any]]]
_EARLIER = Path(__file__).parents[2] / "data" / "before_the_library" / "data.tar.xz"
_WISH = Wish(ids=(), query=None, by="somebody", why="it was asked for")


def _erase(store: SnapshotStore, *keys: str) -> None:
    """Erase documents from the table alone."""
    _bury(store, dict.fromkeys(keys, ()), _WISH)
    erase_rows(store, store.erased())
    _purge(store)


def _ids(store: SnapshotStore, version: int) -> set[str]:
    return set(store.read(store.find(version))["id"].to_pylist())


def _files_with(folder: Path, text: str) -> list[str]:
    needles = [Needle((text.encode(),))]
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and found_in(path.read_bytes(), needles)
    ]


@pytest.fixture
def three_snapshots(
    collection: Any, documents: Documents, ingest_now: Ingest, store: SnapshotStore
) -> list[dict[str, Any]]:
    """Thirty documents that came in three times ten, of which one was edited in between."""
    made = documents(30)
    for first in (0, 10, 20):
        collection.insert_many(made[first : first + 10])
        if first == 10:
            text = "Edited at last, and so it is another text altogether by now."
            collection.update_one({"_id": made[0]["_id"]}, {"$set": {"text": text}})
        ingest_now()
    return made


def test_every_snapshot_reads_without_the_erased_documents_and_says_how_many_are_gone(
    three_snapshots: list[dict[str, Any]], store: SnapshotStore, machine: Settings
) -> None:
    before = [store.find(version) for version in range(3)]
    ids = [_ids(store, version) for version in range(3)]
    gone = {three_snapshots[0]["_id"], three_snapshots[15]["_id"]}
    folder = machine.data_dir / "snapshots"
    assert _files_with(folder, three_snapshots[0]["text"])

    _erase(store, *gone)

    after = [store.find(snapshot.digest) for snapshot in before]
    assert [each.version for each in after] == [0, 1, 2]
    assert [each.erased for each in after] == [1, 2, 2]
    assert [_ids(store, version) for version in range(3)] == [each - gone for each in ids]
    assert [each.documents for each in after] == [9, 18, 28]
    for each in after:
        assert store.recorded(each.version, each.digest) == each
    for document in (three_snapshots[0], three_snapshots[15]):
        assert _files_with(folder, document["text"]) == []
    assert _files_with(folder, "Edited at last, and so it is another text altogether") == []
    assert _files_with(folder, three_snapshots[1]["text"])


def test_the_kept_counts_go_with_the_first_document_that_is_erased(
    collection: Any,
    documents: Documents,
    problem: Problem,
    run_task: Any,
    store: SnapshotStore,
) -> None:
    """They hold its words; the next retraining counts all documents that are left."""
    made = documents(40)
    collection.insert_many(made)
    run_task(prepare, problem, run_task(ingest, problem).snapshot)
    kept = Path(store.uri) / COUNTS
    assert [each for each in kept.rglob("*") if each.is_file()]

    _erase(store, made[0]["_id"])

    assert not kept.exists()
    left = run_task(prepare, problem, run_task(ingest, problem).snapshot)
    assert made[0]["_id"] not in left.ids.to_pylist()
    assert [each for each in kept.rglob("*") if each.is_file()]


def test_a_snapshot_with_gaps_is_still_checked_by_its_digest(
    three_snapshots: list[dict[str, Any]], store: SnapshotStore
) -> None:
    _erase(store, three_snapshots[0]["_id"])

    with pytest.raises(OutsideError, match="is damaged"):
        store.read(store.recorded(0, "another digest"))


def _reconciled(write_problem: Any) -> Problem:
    return write_problem()


def _arrived(write_problem: Any) -> Problem:
    return write_problem(source={"reconcile": {"up_to": 0}})


@pytest.mark.parametrize("has_stream", [True, False])
@pytest.mark.parametrize("look", [_reconciled, _arrived])
def test_an_erased_document_that_is_still_in_mongodb_is_not_read_again(
    collection: Any,
    documents: Documents,
    run_task: Any,
    store: SnapshotStore,
    write_problem: Any,
    monkeypatch: pytest.MonkeyPatch,
    look: Callable[[Any], Problem],
    has_stream: bool,
) -> None:
    problem = look(write_problem)
    if not has_stream:
        monkeypatch.setattr("tasks.data.ingest.current_token", lambda _: None)
    made = documents(12)
    collection.insert_many(made[:10])
    run_task(ingest, problem)
    gone = made[3]["_id"]

    _erase(store, gone)
    after = run_task(ingest, problem)
    collection.update_one({"_id": gone}, {"$set": {"label": 1 - made[3]["label"]}})
    edited = run_task(ingest, problem)
    again = made[3] | {"created_at": MIDNIGHT + HOUR}
    collection.delete_one({"_id": gone})
    collection.insert_many([again, *made[10:]])
    inserted = run_task(ingest, problem)
    rescanned = run_task(ingest, problem, rescan=True)

    assert [each.snapshot.documents for each in (after, edited, inserted, rescanned)] == [
        9,
        9,
        11,
        11,
    ]
    assert after.snapshot.version == 1
    assert gone not in _ids(store, inserted.snapshot.version)
    assert gone in store.erased()
    assert collection.count_documents({"_id": gone}) == 1


def test_the_next_snapshot_has_another_digest_so_that_models_are_made_without_the_erased(
    three_snapshots: list[dict[str, Any]], store: SnapshotStore, ingest_now: Ingest
) -> None:
    before = store.latest()
    _erase(store, three_snapshots[0]["_id"])

    after, again = ingest_now().snapshot, ingest_now().snapshot

    assert before is not None
    assert (after.version, after.documents, after.erased) == (3, 29, 0)
    assert after.digest != before.digest
    assert again == after


def test_an_erasure_that_was_only_begun_is_left_out_of_the_next_snapshot_and_completed_later(
    three_snapshots: list[dict[str, Any]], store: SnapshotStore, ingest_now: Ingest
) -> None:
    gone = three_snapshots[5]["_id"]
    _bury(store, {gone: ()}, _WISH)

    result = ingest_now(rescan=True)

    assert result.accounts.deleted == 1
    assert gone not in _ids(store, result.snapshot.version)
    assert stored_of(store, store.erased()).keys == {gone}
    erase_rows(store, store.erased())
    assert stored_of(store, store.erased()).keys == set()
    assert gone not in _ids(store, 0)


def test_a_retraining_that_writes_meanwhile_loses_nothing(
    three_snapshots: list[dict[str, Any]],
    store: SnapshotStore,
    collection: Any,
    documents: Documents,
    ingest_now: Ingest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collection.insert_many(documents(40)[30:])
    kept, once = erasure_table._kept, []

    def overtaken(*args: Any) -> Any:
        if not once:
            once.append(ingest_now())
        return kept(*args)

    monkeypatch.setattr(erasure_table, "_kept", overtaken)
    _erase(store, three_snapshots[0]["_id"])

    latest = store.latest()
    assert latest is not None
    assert (latest.version, latest.documents) == (3, 39)
    assert _ids(store, 0) == {each["_id"] for each in three_snapshots[1:10]}


def test_what_a_killed_retraining_left_is_removed_unless_it_may_still_be_committed(
    three_snapshots: list[dict[str, Any]], store: SnapshotStore
) -> None:
    folder = Path(store.table.uri) / "kind=revision"
    old, young = (folder / f"part-{age}.zstd.parquet" for age in ("old", "young"))
    for file in (old, young):
        file.write_text(three_snapshots[0]["text"])
    past = time.time() - 2 * 3_600
    os.utime(old, (past, past))

    _erase(store, three_snapshots[0]["_id"])

    assert not old.exists()
    assert _files_with(folder, three_snapshots[0]["text"]) == [str(young)]
    assert _ids(store, 0) == {each["_id"] for each in three_snapshots[1:10]}


def test_a_copy_in_another_document_stops_the_erasure_unless_it_is_erased_too(
    three_snapshots: list[dict[str, Any]],
    store: SnapshotStore,
    collection: Any,
    ingest_now: Ingest,
    problem: Problem,
) -> None:
    original = three_snapshots[4]
    collection.insert_one(original | {"_id": "copy", "text": original["text"].upper()})
    ingest_now()

    with pytest.raises(OutsideError, match=r"1 other document .* has the same text.*--with-copies"):
        _gather(problem, store, collection, {original["_id"]}, _WISH)
    wish = Wish(ids=(), query=None, by="somebody", why="asked for", with_copies=True)
    keys, stored = _gather(problem, store, collection, {original["_id"]}, wish)

    assert keys == {original["_id"], "copy"}
    assert original["text"].upper() in stored.texts
    assert len(store.erased()) == 0


@pytest.mark.parametrize("typed", ["{id}", '{{"$oid": "{id}"}}'])
def test_an_id_is_typed_as_people_see_it(
    typed: str, collection: Any, documents: Documents, problem: Problem, machine: Settings
) -> None:
    identifier = ObjectId()
    collection.insert_many([documents(1)[0] | {"_id": each} for each in (identifier, 17, "seven")])

    def keys(*ids: str, query: str | None = None) -> set[str]:
        return find_keys(problem, machine, Wish(ids, query, "somebody", "asked for"))

    assert keys(typed.format(id=identifier)) == {f'{{"$oid": "{identifier}"}}'}
    assert len(keys("17")) == len(keys(query='{"_id": 17}')) == 1
    assert keys("seven", "17") == {"seven", *keys("17")}
    with pytest.raises(OutsideError, match="given as number 2") as failure:
        keys("seven", "unheard-of")
    assert "unheard-of" not in str(failure.value)
    with pytest.raises(OutsideError, match="--query must be a JSON object"):
        keys(query="{}")


@pytest.mark.parametrize("is_in_mongodb", [True, False])
@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        (17.0, "17"),
        (Int64(17), "17"),
        (17.5, "17.5"),
        ({"shop": 3, "number": 4.0}, '{"shop": 3, "number": 4}'),
        ({"shop": "north"}, '{"shop": "north"}'),
    ],
    ids=["a shell's number", "a long number", "a half", "an object of numbers", "an object"],
)
def test_an_id_may_be_typed_without_the_types_of_its_numbers(
    stored: Any,
    typed: str,
    is_in_mongodb: bool,
    collection: Any,
    documents: Documents,
    ingest_now: Ingest,
    store: SnapshotStore,
    problem: Problem,
    machine: Settings,
) -> None:
    first, *others = documents(5)
    collection.insert_many([first | {"_id": stored}, *others])
    ingest_now()
    if not is_in_mongodb:
        collection.delete_one({"_id": stored})

    keys = find_keys(problem, machine, Wish([typed], None, "somebody", "asked for"))
    gathered, found = _gather(problem, store, collection, keys, _WISH)

    assert keys == gathered == {document_key(stored)}
    assert first["text"] in found.texts


@pytest.mark.parametrize("name", ["reviews", "flowers"])
def test_what_an_older_release_wrote_is_erased_with_its_files(name: str, tmp_path: Path) -> None:
    with tarfile.open(_EARLIER) as archive:
        members = [each for each in archive if each.name.startswith(".data/snapshots/")]
        archive.extractall(tmp_path, members, filter="data")
    store = SnapshotStore(name, Settings(data_dir=tmp_path / ".data"))
    before = {each.version: each for each in store.snapshots()}
    ids = {version: _ids(store, version) for version in before}
    # Equal records are no copies of each other.
    has_copies = {key: name == "reviews" and _copies_of(store, key) for key in ids[min(ids)]}
    gone = min(key for key, copies in has_copies.items() if not copies)
    texts = stored_of(store, _pretended(store, gone)).texts

    _erase(store, gone)

    for version, snapshot in before.items():
        assert _ids(store, version) == ids[version] - {gone}
        assert store.find(snapshot.digest).erased == 1
    assert {path.name for path in Path(store.uri).iterdir()} == {"history"}
    for text in texts:
        assert _files_with(Path(store.uri), text) == []
    assert texts or name == "flowers"


def _copies_of(store: SnapshotStore, key: str) -> list[str]:
    pretended = _pretended(store, key)
    return ids_of_copies(store, pretended, stored_of(store, pretended).contents)


def _pretended(store: SnapshotStore, key: str) -> Tombstones:
    """Return the tombstones of a store with one that was not written."""
    mark = digest_of_id(store.problem, key)
    tombstone = Tombstone(mark, datetime.now(UTC), "somebody", "asked for")
    return Tombstones(store.problem, {mark: tombstone})


def test_records_are_recognised_by_all_their_fields(
    machine: Settings, mongodb_server: str, run_task: Any
) -> None:
    problem = write_iris(machine.problems_dir, f"test_{uuid4().hex}")
    store = SnapshotStore(problem.name, machine)
    with MongoClient(mongodb_server, tz_aware=True) as client:
        collection = client[problem.source.database][problem.source.collection]
        documents = [
            flower | {"_id": f"flower-{number}", "created_at": MIDNIGHT}
            for number, flower in enumerate(flowers())
        ]
        collection.insert_many(documents)
        run_task(ingest, problem)
        gone = documents[0]
        keys, stored = _gather(problem, store, collection, {gone["_id"]}, _WISH)
        client.drop_database(problem.source.database)
    is_erased = _recognise(problem, stored)
    record = {name: gone[name] for name in inputs_of(problem).names}

    assert keys == {gone["_id"]}
    assert is_erased(record)
    assert not is_erased(record | {"petal_width": 99.0})
    assert not is_erased({"petal_width": 0.2})
    assert not is_erased("a text")


def test_a_text_that_only_an_earlier_identity_took_for_a_copy_is_another_one(
    collection: Any,
    documents: Documents,
    ingest_now: Ingest,
    store: SnapshotStore,
    problem: Problem,
) -> None:
    first, *others = documents(5)
    collection.insert_many([first | {"text": "C++ is the language of my heart"}, *others])
    ingest_now()

    _, stored = _gather(problem, store, collection, {first["_id"]}, _WISH)
    is_erased = _recognise(problem, stored)

    assert is_erased("c++ is the  language of my heart.")
    assert not is_erased("C# is the language of my heart")
