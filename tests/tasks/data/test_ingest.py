"""Ingestion: every document is accounted for once, whenever it comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from unicodedata import normalize
from uuid import UUID

import pymongo.monitoring
import pytest
from bson import Binary, Int64, ObjectId
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from perennial.config.problem import Problem
from perennial.documents.keys import document_key
from perennial.errors import OutsideError
from perennial.reasons import Reason, ReasonCode
from perennial.settings import Settings
from perennial.stores import mongodb
from perennial.stores.documents import open_documents
from perennial.stores.snapshots.store import SnapshotStore
from tasks.data.ingest import ingest
from tests.conftest import HOUR, MIDNIGHT, MINUTE
from tests.searches import tried
from tests.tasks.conftest import Ingest
from tests.tasks.contents import MISSING, all_rows, reasons_of, spoil, used_ids


def test_documents_that_share_the_newest_time_are_found_when_they_arrive_later(
    collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    burst = documents(10, every=timedelta(0))
    collection.insert_many(burst[:6])
    ingest_now()
    collection.insert_many(burst[6:])

    second = ingest_now()

    assert second.accounts.new == 4
    assert set(all_rows(store).values()) == {1}
    assert second.snapshot.documents == 10


@pytest.fixture
def ingest_arrivals(write_problem: Any, run_task: Any, no_change_stream: None) -> Ingest:
    """Ingest from a large collection on a server that has no change stream."""
    problem = write_problem(source={"reconcile": {"up_to": 0}})
    return lambda **options: run_task(ingest, problem, **options)


def test_a_late_document_is_found_within_the_window_only_and_any_with_rescan(
    collection: Any, documents: Any, ingest_arrivals: Ingest, store: SnapshotStore
) -> None:
    *early, just_in, just_out, ancient = documents(23)
    newest = early[-1]["created_at"]
    collection.insert_many(early)
    ingest_arrivals()
    collection.insert_many(
        [
            just_in | {"created_at": newest - HOUR},
            just_out | {"created_at": newest - HOUR - timedelta(milliseconds=1)},
            ancient | {"created_at": datetime(1901, 1, 1, tzinfo=UTC)},
        ]
    )

    usual = ingest_arrivals()
    usual_ids = all_rows(store)
    rescanned, again = ingest_arrivals(rescan=True), ingest_arrivals(rescan=True)

    assert usual.accounts.new == 1
    assert just_in["_id"] in usual_ids
    assert not {just_out["_id"], ancient["_id"]} & usual_ids.keys()
    assert (rescanned.accounts.new, again.accounts.changed) == (2, 0)
    assert rescanned.snapshot.documents == 23
    assert set(all_rows(store).values()) == {1}


class _Transferred(pymongo.monitoring.CommandListener):
    """Remembers ids and texts that come over the wire while it is switched on."""

    def __init__(self) -> None:
        self.on = False
        self.ids: list[Any] = []
        self.texts: list[str] = []

    def started(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass

    def succeeded(self, event: Any) -> None:
        cursor = event.reply.get("cursor", {}) if self.on else {}
        if not str(cursor.get("ns", "")).endswith(".reviews"):
            return
        for document in [*cursor.get("firstBatch", []), *cursor.get("nextBatch", [])]:
            self.ids.append(document["_id"])
            if "text" in document:
                self.texts.append(document["text"])


_transferred = _Transferred()
pymongo.monitoring.register(_transferred)


@pytest.fixture
def transferred() -> Iterator[_Transferred]:
    _transferred.ids.clear()
    _transferred.texts.clear()
    _transferred.on = True
    yield _transferred
    _transferred.on = False


@pytest.mark.parametrize("way", ["ingest_now", "ingest_arrivals"])
def test_texts_that_were_read_once_are_not_transferred_again(
    collection: Any,
    documents: Any,
    way: str,
    request: pytest.FixtureRequest,
    transferred: _Transferred,
) -> None:
    early = documents(200)
    ingest_this = request.getfixturevalue(way)
    late, new = (
        documents(3, first=300, at=early[-1]["created_at"] - MINUTE),
        documents(4, first=400),
    )
    for document in new:
        document["created_at"] = early[-1]["created_at"] + HOUR
    collection.insert_many(early)
    ingest_this()
    first_time = list(transferred.texts)
    transferred.ids.clear()
    transferred.texts.clear()
    collection.insert_many([*late, *new])

    second = ingest_this()

    assert sorted(first_time) == sorted(document["text"] for document in early)
    assert second.accounts.new == 7
    assert sorted(transferred.texts) == sorted(document["text"] for document in [*late, *new])
    within_window = 2 * 60 + 10
    assert len(transferred.ids) < within_window, "ids older than the window were read"


def test_where_nothing_is_new_there_is_no_new_snapshot(
    collection: Any, documents: Any, ingest_now: Ingest
) -> None:
    collection.insert_many(documents(20))
    first = ingest_now()

    second, rescanned = ingest_now(), ingest_now(rescan=True)

    assert second.snapshot == rescanned.snapshot == first.snapshot
    assert second.accounts == rescanned.accounts == first.accounts.without_changes()


def test_documents_without_a_date_are_read_once(
    collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    undated = [spoil(document, {"created_at": MISSING}) for document in documents(5, first=50)]
    collection.insert_many([*documents(10), *undated[:3]])
    first = ingest_now()
    collection.insert_many(undated[3:])

    second, third = ingest_now(), ingest_now(rescan=True)

    counts = [sum(each.accounts.quarantined.values()) for each in (first, second, third)]
    assert counts == [3, 2, 0]
    assert third.accounts.changed == 0
    assert set(all_rows(store).values()) == {1}


def test_a_collection_in_which_no_document_has_a_date_is_read_once_too(
    collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    collection.insert_many(
        [spoil(document, {"created_at": None}) for document in documents(5, first=50)]
    )
    for _ in range(2):
        with pytest.raises(OutsideError, match=r"no document that can be used"):
            ingest_now()
    collection.insert_many(documents(10))

    ingested = ingest_now()

    assert (ingested.accounts.new, ingested.accounts.used) == (10, 10)
    assert set(all_rows(store).values()) == {1}


def test_copies_are_kept_once_and_contradicting_copies_are_quarantined(
    collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    first, second, third = documents(3)
    copy = first | {"_id": "copy", "created_at": first["created_at"] + HOUR}
    shouted = second | {
        "_id": "shouted",
        "text": f"<p>{second['text'].upper()}</p>",
        "created_at": second["created_at"] + HOUR,
    }
    contradiction = third | {
        "_id": "contradiction",
        "label": 1 - third["label"],
        "created_at": third["created_at"] + HOUR,
    }
    collection.insert_many([copy, shouted, contradiction, first, second, third])

    ingested = ingest_now()

    assert used_ids(store, ingested) == sorted(d["_id"] for d in (first, second, third))
    assert ingested.accounts.duplicates == 2
    reasons = reasons_of(store, ingested)
    assert reasons == {"contradiction": Reason(ReasonCode.CONFLICTING_LABEL, "label")}


def test_copies_of_documents_of_an_earlier_snapshot_are_recognised(
    collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    early = documents(10)
    collection.insert_many(early)
    first = ingest_now()
    later = early[-1]["created_at"] + HOUR
    collection.insert_many(
        [
            early[0] | {"_id": "copy", "created_at": later},
            early[1]
            | {"_id": "contradiction", "label": 1 - early[1]["label"], "created_at": later},
        ]
    )

    second = ingest_now()

    accounts = second.accounts
    assert (accounts.new, accounts.used, accounts.duplicates) == (2, 10, 1)
    assert sum(accounts.quarantined.values()) == 1
    assert second.snapshot.digest == first.snapshot.digest
    assert second.snapshot.documents == 10


def test_a_document_that_is_inserted_again_with_a_new_date_is_not_doubled(
    collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    early = documents(10)
    collection.insert_many(early)
    first = ingest_now()
    again = early[0] | {"created_at": early[-1]["created_at"] + HOUR}
    collection.replace_one({"_id": early[0]["_id"]}, again)

    second = ingest_now()

    assert used_ids(store, second) == used_ids(store, first)
    assert second.accounts.edited == 1
    rows = {row["id"]: row for row in store.read(second.snapshot).to_pylist()}
    assert rows[early[0]["_id"]]["created_at"] == again["created_at"]


@pytest.mark.parametrize("earlier", [0, 40], ids=["the first snapshot", "a later snapshot"])
def test_two_ingestions_at_the_same_time_lose_and_double_nothing(
    earlier: int,
    problem: Problem,
    collection: Any,
    documents: Any,
    store: SnapshotStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from prefect.logging import disable_run_logger

    all_documents = documents(100)
    both_have_read = threading.Barrier(2)
    append, waited = SnapshotStore.append, threading.local()

    def append_when_both_have_read(self: SnapshotStore, *args: Any) -> Any:
        if not getattr(waited, "once", False):
            waited.once = True
            both_have_read.wait(timeout=60)
        return append(self, *args)

    with disable_run_logger():
        if earlier:
            collection.insert_many(all_documents[:earlier])
            ingest.fn(problem)
        collection.insert_many(all_documents[earlier:])
        monkeypatch.setattr(SnapshotStore, "append", append_when_both_have_read)
        with ThreadPoolExecutor(2) as threads:
            both = [threads.submit(ingest.fn, problem) for _ in range(2)]
            one, other = (future.result(timeout=120) for future in both)

    assert sorted([one.accounts.new, other.accounts.new]) == [0, 100 - earlier]
    assert one.snapshot == other.snapshot == store.latest()
    assert set(all_rows(store).values()) == {1}
    assert one.snapshot.documents == 100
    assert len(store.read(one.snapshot)) == 100


def test_an_ingestion_that_always_loses_says_so(
    problem: Problem,
    collection: Any,
    documents: Any,
    ingest_now: Ingest,
    run_task: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arriving = iter(documents(12))
    collection.insert_one(next(arriving))
    append = SnapshotStore.append

    def lose(self: SnapshotStore, rows: Any, draft: Any, after: Any) -> Any:
        # Another ingestion of the same rows is always a little faster.
        rows = list(rows)
        append(self, rows, draft, after)
        collection.insert_one(next(arriving))
        return append(self, rows, draft, after)

    monkeypatch.setattr(SnapshotStore, "append", lose)

    with pytest.raises(OutsideError, match=r"DATA_URI.*one retraining of a problem at a time"):
        ingest_now()


def test_ids_of_different_types_are_different_documents(
    collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    object_id = ObjectId()
    ids = [
        object_id,
        str(object_id),
        5,
        "5",
        {"site": "a", "n": 5},
        {"n": 5, "site": "a"},
        {"site": "a", "n": "5"},
        Int64(2**40),
        str(2**40),
        2.5,
        "2.5",
        True,
        "true",
        Binary(b"5"),
        MIDNIGHT,
        UUID(int=5).bytes,
    ]
    made = documents(2 * len(ids))
    one, two = made[: len(ids)], made[len(ids) :]
    half = len(ids) // 2
    collection.insert_many(
        [
            d | {"_id": i, "created_at": MIDNIGHT}
            for d, i in zip(one[:half], ids[:half], strict=True)
        ]
    )
    first = ingest_now()
    collection.insert_many(
        [
            d | {"_id": i, "created_at": MIDNIGHT}
            for d, i in zip(two[half:], ids[half:], strict=True)
        ]
    )

    second, third = ingest_now(), ingest_now()

    assert (first.accounts.new, second.accounts.new) == (half, len(ids) - half)
    assert third.accounts.changed == 0
    assert len(set(all_rows(store))) == len(ids)


def test_an_id_of_text_that_looks_like_another_type_is_still_another_document() -> None:
    object_id = ObjectId()

    assert document_key(document_key(object_id)) != document_key(object_id)
    assert document_key(document_key(5)) != document_key(5)


def test_an_empty_collection_is_said_to_be_empty(
    collection: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    with pytest.raises(OutsideError, match=r"reviews is empty; check MONGODB_URI.*reviews\.yaml"):
        ingest_now()
    assert store.latest() is None


def test_a_query_that_finds_nothing_is_not_said_to_be_an_empty_collection(
    write_problem: Any, collection: Any, documents: Any, run_task: Any
) -> None:
    collection.insert_many(documents(3))

    with pytest.raises(OutsideError, match=r"reviews has no document that source\.query finds"):
        run_task(ingest, write_problem(source={"query": {"label": 99}}))


def test_a_collection_without_a_usable_document_is_said_to_have_none(
    collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    collection.insert_many([document | {"label": "?"} for document in documents(4)])

    said = r"no document that can be used\. 4 of 4: label is a text, not one of 0, 1: \"\?\"\. "
    with pytest.raises(
        OutsideError, match=said + r".* check labels in problems/reviews\.yaml, line"
    ):
        ingest_now()

    snapshot = store.latest()
    assert snapshot is not None
    assert len(store.quarantine(snapshot)) == 4


def test_only_documents_that_the_query_of_the_problem_matches_are_read(
    write_problem: Any, collection: Any, documents: Any, run_task: Any, machine: Settings
) -> None:
    problem = write_problem(source={"query": {"source": "web"}})
    ours, theirs = documents(6), documents(6, first=10)
    ours = [document | {"source": "web"} for document in ours]
    collection.insert_many([*ours[:4], *theirs[:4]])
    first = run_task(ingest, problem)
    collection.insert_many([*ours[4:], *theirs[4:]])

    second = run_task(ingest, problem)

    assert (first.accounts.new, second.accounts.new) == (4, 2)
    store = SnapshotStore(problem.name, machine)
    assert set(all_rows(store)) == {document["_id"] for document in ours}


def test_reading_by_age_is_answered_by_an_index(problem: Problem, machine: Settings) -> None:
    with mongodb.connect(machine) as client:
        indexes = open_documents(client, problem).index_information()
        client.drop_database(problem.source.database)

    assert [("created_at", 1), ("_id", 1)] in [index["key"] for index in indexes.values()]


_ARRIVALS = st.lists(
    st.tuples(
        st.integers(0, 11),  # which text: few texts make many copies
        st.integers(0, 1),  # label
        st.integers(0, 5),  # ten minutes each: all of them within the late window
        st.integers(0, 2),  # in which group it arrives
    ),
    min_size=1,
    max_size=14,
)


@tried(0.3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals=_ARRIVALS)
def test_arrivals_in_groups_lead_to_the_same_contents_as_all_at_once(
    arrivals: list[tuple[int, int, int, int]],
    problem: Problem,
    collection: Any,
    documents: Any,
    machine: Settings,
    run_task: Any,
) -> None:
    texts = [document["text"] for document in documents(12)]
    made = [
        (
            group,
            {
                "_id": f"{number}",
                "text": texts[text],
                "label": label,
                "created_at": MIDNIGHT + 10 * MINUTE * time,
            },
        )
        for number, (text, label, time, group) in enumerate(arrivals)
    ]

    grouped = _contents_after([[d for g, d in made if g == group] for group in range(3)], locals())
    at_once = _contents_after([[d for _, d in made]], locals())

    # Which of two contradicting copies came first differs, and so does their label.
    assert grouped == at_once


def _contents_after(groups: list[list[dict[str, Any]]], world: dict[str, Any]) -> Any:
    """Ingest groups one after the other; return the texts in use and how often each id stands."""
    import shutil

    problem, machine, collection = world["problem"], world["machine"], world["collection"]
    collection.delete_many({})
    shutil.rmtree(machine.snapshots_uri, ignore_errors=True)
    for group in filter(None, groups):
        collection.insert_many(group)
        world["run_task"](ingest, problem)
    store = SnapshotStore(problem.name, machine)
    snapshot = store.latest()
    assert snapshot is not None
    return set(store.read(snapshot)["text"].to_pylist()), dict(all_rows(store))


def test_the_name_of_a_group_is_the_same_however_its_letters_are_encoded(
    collection: Any, documents: Any, write_problem: Any, run_task: Any, store: SnapshotStore
) -> None:
    problem = write_problem(split={"by": "group", "field": "customer"})
    names = ("Société Générale", normalize("NFD", "Société Générale"), "Société&nbsp;Générale")
    collection.insert_many(
        [each | {"customer": names[number % 3]} for number, each in enumerate(documents(9))]
    )

    ingested = run_task(ingest, problem)

    assert len(set(store.read(ingested.snapshot)["group"].to_pylist())) == 1
