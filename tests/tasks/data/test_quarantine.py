"""Documents that cannot be used are kept, each with its reason, and stop nothing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, Regex, Timestamp, json_util
from bson.datetime_ms import DatetimeMS

from perennial.config.problem import Problem
from perennial.documents.judgement import judge_documents
from perennial.reasons import Reason, ReasonCode
from perennial.stores.documents import open_documents
from perennial.stores.snapshots.store import SnapshotStore
from tests.conftest import CONFIGURED_MONGODB, HOUR, MIDNIGHT
from tests.tasks.conftest import Ingest
from tests.tasks.contents import MISSING, all_rows, reasons_of, spoil, used_ids

# What is wrong with a document: the fields that differ from a good one, and the reason to expect.
MALFORMED: dict[str, tuple[dict[str, Any], Reason]] = {
    "text missing": ({"text": MISSING}, Reason(ReasonCode.MISSING, "text")),
    "text null": ({"text": None}, Reason(ReasonCode.NULL, "text")),
    "text a number": ({"text": 7}, Reason(ReasonCode.WRONG_TYPE, "text")),
    "text a list": ({"text": ["a good film"]}, Reason(ReasonCode.WRONG_TYPE, "text")),
    "text an object": ({"text": {"en": "a good film"}}, Reason(ReasonCode.WRONG_TYPE, "text")),
    "text binary": ({"text": Binary(b"a good film")}, Reason(ReasonCode.WRONG_TYPE, "text")),
    "text empty": ({"text": ""}, Reason(ReasonCode.EMPTY, "text")),
    "text white space": ({"text": " \t\n "}, Reason(ReasonCode.EMPTY, "text")),
    "text too short": ({"text": "good film"}, Reason(ReasonCode.TOO_SHORT, "text")),
    "text only markup": ({"text": "<br /><br />"}, Reason(ReasonCode.TOO_SHORT, "text")),
    "text too long": ({"text": "good " * 500}, Reason(ReasonCode.TOO_LONG, "text")),
    "label missing": ({"label": MISSING}, Reason(ReasonCode.MISSING, "label")),
    "label null": ({"label": None}, Reason(ReasonCode.NULL, "label")),
    "label unknown": ({"label": 2}, Reason(ReasonCode.UNKNOWN_LABEL, "label")),
    "label an unknown name": ({"label": "great"}, Reason(ReasonCode.UNKNOWN_LABEL, "label")),
    "label a list": ({"label": [1]}, Reason(ReasonCode.WRONG_TYPE, "label")),
    "label an object": ({"label": {"value": 1}}, Reason(ReasonCode.WRONG_TYPE, "label")),
    "label a bool": ({"label": True}, Reason(ReasonCode.UNKNOWN_LABEL, "label")),
    "label a decimal": ({"label": Decimal128("1.5")}, Reason(ReasonCode.UNKNOWN_LABEL, "label")),
    "created_at missing": ({"created_at": MISSING}, Reason(ReasonCode.MISSING, "created_at")),
    "created_at null": ({"created_at": None}, Reason(ReasonCode.NULL, "created_at")),
    "created_at a string": (
        {"created_at": "2026-01-01"},
        Reason(ReasonCode.WRONG_TYPE, "created_at"),
    ),
    "created_at an array": (
        {"created_at": [MIDNIGHT]},
        Reason(ReasonCode.WRONG_TYPE, "created_at"),
    ),
    "created_at a number": (
        {"created_at": 1767225600},
        Reason(ReasonCode.WRONG_TYPE, "created_at"),
    ),
    "created_at an oplog time": (
        {"created_at": Timestamp(1767225600, 1)},
        Reason(ReasonCode.WRONG_TYPE, "created_at"),
    ),
    "source a number": ({"source": 5}, Reason(ReasonCode.WRONG_TYPE, "source")),
    "source a list": ({"source": ["web"]}, Reason(ReasonCode.WRONG_TYPE, "source")),
}


def test_fifty_malformed_documents_among_good_ones_are_quarantined_each_with_its_reason(
    collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    kinds = list(MALFORMED.values())
    bad = [
        spoil(document, kinds[number % len(kinds)][0])
        for number, document in enumerate(documents(50, first=100))
    ]
    expected = {
        document["_id"]: kinds[number % len(kinds)][1] for number, document in enumerate(bad)
    }
    good = documents(60)
    collection.insert_many([*good[:30], *bad, *good[30:]])

    ingested = ingest_now()

    found = reasons_of(store, ingested)
    assert found.keys() == expected.keys()
    assert found == expected
    accounts = ingested.accounts
    assert (accounts.new, accounts.live, accounts.used) == (110, 110, 60)
    assert accounts.quarantined == accounts.in_quarantine == dict(Counter(found.values()))
    assert ingested.snapshot.documents == 60
    assert used_ids(store, ingested) == sorted(document["_id"] for document in good)


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_documents_that_arrive_later_are_quarantined_too_and_once(
    kind: str, collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    changes, reason = MALFORMED[kind]
    *good, later = documents(11)
    collection.insert_many(good)
    ingest_now()
    collection.insert_one(spoil(later, changes))

    second, third = ingest_now(), ingest_now()

    assert second.accounts.new == sum(second.accounts.quarantined.values()) == 1
    assert reasons_of(store, second)[later["_id"]] == reason
    assert not third.accounts.changed
    assert third.snapshot == second.snapshot


def test_the_raw_document_is_kept_with_the_reason(
    collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    *good, bad = documents(5)
    bad |= {"label": "très bien", "created_at": "yesterday"}
    collection.insert_many([*good, bad])

    ingested = ingest_now()

    (row,) = store.quarantine(ingested.snapshot).to_pylist()
    aware = json_util.JSONOptions(tz_aware=True)
    assert json_util.loads(row["raw"], json_options=aware) == bad


@pytest.mark.parametrize(
    "value",
    [Decimal128("1.5"), Regex("a"), UUID(int=1).bytes, float("nan"), Int64(2**62)],
    ids=lambda value: type(value).__name__,
)
def test_a_text_of_any_type_of_mongodb_is_kept_in_quarantine(
    value: Any, collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    *good, bad = documents(5)
    collection.insert_many([*good, bad | {"text": value}])

    ingested = ingest_now()

    assert ingested.accounts.used == 4
    assert reasons_of(store, ingested)[bad["_id"]] == Reason(ReasonCode.WRONG_TYPE, "text")


def test_an_array_of_dates_in_the_future_is_read_once(
    collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    *good, bad = documents(5)
    collection.insert_many(good)
    ingest_now()
    collection.insert_one(bad | {"created_at": [MIDNIGHT + 1000 * HOUR]})

    second, third = ingest_now(), ingest_now()

    assert (second.accounts.new, third.accounts.changed) == (1, 0)
    assert all_rows(store)[bad["_id"]] == 1


def test_a_script_as_date_is_found_too(
    collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    *good, bad = documents(5)
    collection.insert_many(good)
    ingest_now()
    collection.insert_one(bad | {"created_at": Code("new Date()")})

    second = ingest_now()

    assert bad["_id"] in reasons_of(store, second)


def test_a_document_dated_far_ahead_does_not_hide_those_that_come_after_it(
    collection: Any, documents: Any, ingest_now: Ingest
) -> None:
    *good, ahead, later = documents(12)
    collection.insert_many([*good, ahead | {"created_at": datetime(2999, 1, 1, tzinfo=UTC)}])
    ingest_now()
    collection.insert_one(later)

    second = ingest_now()

    assert second.accounts.new == 1


def _decode(problem: Problem, collection: Any, *raw: bytes) -> list[dict[str, Any]]:
    options = open_documents(collection.database.client, problem).codec_options
    return [bson.decode(document, options) for document in raw]


def _with_invalid_text(document: dict[str, Any]) -> bytes:
    """Return BSON as drivers without checks write it: Latin-1 where UTF-8 belongs."""
    return bson.encode(document | {"text": "un film magnifi!ue, vraiment"}).replace(b"!", b"\xe9")


def test_bytes_that_are_not_utf8_as_the_driver_decodes_them_are_quarantined(
    problem: Problem, collection: Any, documents: Any
) -> None:
    # The embedded server refuses to store them; a real one does not look.
    good, bad = documents(2)
    decoded = _decode(problem, collection, bson.encode(good), _with_invalid_text(bad))

    rows = judge_documents(decoded, problem).to_pylist()

    assert [row["status"] for row in rows] == ["used", "quarantined"]
    assert rows[1]["id"] == bad["_id"]
    assert (rows[1]["code"], rows[1]["field"]) == (ReasonCode.NOT_UTF8, "text")
    assert "vraiment" in rows[1]["raw"]


@pytest.mark.parametrize("milliseconds", [2**61, -(2**61), 253402300800000])
def test_a_date_that_python_cannot_hold_as_the_driver_decodes_it_is_quarantined(
    milliseconds: int, problem: Problem, collection: Any, documents: Any
) -> None:
    # The embedded server refuses to store such a date; a real one does not look.
    good, bad = documents(2)
    beyond = bson.encode(bad | {"created_at": DatetimeMS(milliseconds)})

    decoded = _decode(problem, collection, bson.encode(good), beyond)
    rows = judge_documents(decoded, problem).to_pylist()

    assert [row["status"] for row in rows] == ["used", "quarantined"]
    assert rows[1]["id"] == bad["_id"]


@pytest.mark.skipif(not CONFIGURED_MONGODB, reason="the embedded server refuses invalid UTF-8")
def test_bytes_that_are_not_utf8_in_a_real_mongodb_are_quarantined(
    collection: Any, documents: Any, ingest_now: Ingest, store: SnapshotStore
) -> None:
    from bson.raw_bson import RawBSONDocument

    good, bad = documents(2)
    collection.insert_many([good, RawBSONDocument(_with_invalid_text(bad))])

    ingested = ingest_now()

    assert reasons_of(store, ingested) == {bad["_id"]: Reason(ReasonCode.NOT_UTF8, "text")}
