"""Values as MongoDB has them, at paths of any depth: used with their meaning, or kept out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial.config.problem import Problem
from perennial.documents.judgement import judge_documents
from perennial.query import read_query
from perennial.reasons import Reason, ReasonCode
from perennial.settings import Settings
from perennial.stores.documents import open_documents, read_newest
from perennial.stores.snapshots.store import SnapshotStore
from tasks.data.ingest import ingest
from tests.conftest import MIDNIGHT
from tests.tasks.contents import reasons_of

CITY = ObjectId("507f191e810c19729de860ea")
GOOD = {
    "size": {"width": 1.5, "height": Int64(3)},
    "address": {"city": "Paris"},
    "wild": True,
    "meta": {"label": "rose", "at": MIDNIGHT, "source": "shop"},
}
FIELDS = {
    "size.width": "number",
    "size.height": "number",
    "address.city": "category",
    "wild": "boolean",
}


@pytest.fixture
def problem(write_nested: Callable[..., Problem]) -> Problem:
    return write_nested()


@pytest.fixture
def write_nested(machine: Settings) -> Callable[..., Problem]:
    """Return a function that writes a problem whose documents are nested."""
    from uuid import uuid4

    from ruamel.yaml import YAML

    from perennial.config.loader import load_problem

    database = f"test_{uuid4().hex}"

    def write(**source: Any) -> Problem:
        names = {"label": "meta.label", "created_at": "meta.at", "source": "meta.source"}
        content = {
            "source": {"database": database, "collection": "plants", "fields": names, **source},
            "inputs": {name: {"kind": kind, "required": True} for name, kind in FIELDS.items()},
            "labels": {"rose": "rose", "oak": 7, "yes": True},
            "candidates": {"tree": {"estimator": "decision_tree"}},
        }
        path = machine.problems_dir / "plants.yaml"
        with path.open("w") as file:
            YAML(typ="safe").dump(content, file)
        return load_problem(path)

    return write


@pytest.fixture
def collection(mongodb_server: str, problem: Problem) -> Iterator[Any]:
    from pymongo import MongoClient

    with MongoClient(mongodb_server, tz_aware=True) as client:
        yield client[problem.source.database][problem.source.collection]
        client.drop_database(problem.source.database)


def changed(path: str, value: Any, number: int = 0) -> dict[str, Any]:
    """Return the good document with another value at a path."""
    first, _, last = path.partition(".")
    good: dict[str, Any] = GOOD | {"_id": f"plant-{number}"}
    return good | {first: good[first] | {last: value} if last else value}


USED: list[tuple[str, Any, Any]] = [
    ("size.width", Decimal128("2.5"), 2.5),
    ("size.width", Int64(2**62), float(2**62)),
    ("size.width", Int64(-(2**63)), -float(2**63)),
    ("size.width", -0.0, 0.0),
    ("address.city", CITY, str(CITY)),
    ("address.city", "ünïcödé", "ünïcödé"),
]
REFUSED: list[tuple[str, Any, ReasonCode]] = [
    ("size.width", 1.797e308, ReasonCode.OUT_OF_RANGE),
    ("size.width", Decimal128("1E+6000"), ReasonCode.OUT_OF_RANGE),
    ("size.width", float("nan"), ReasonCode.NOT_FINITE),
    ("size.width", float("-inf"), ReasonCode.NOT_FINITE),
    ("size.width", Decimal128("sNaN"), ReasonCode.NOT_FINITE),
    ("size.width", Decimal128("Infinity"), ReasonCode.NOT_FINITE),
    ("size.width", MIDNIGHT, ReasonCode.WRONG_TYPE),
    ("size.width", None, ReasonCode.NULL),
    ("size", {"height": 3}, ReasonCode.MISSING),
    ("size", [{"width": 1.5, "height": 3}], ReasonCode.IN_LIST),
    ("size", 5, ReasonCode.MISSING),
    ("address.city", Regex("a"), ReasonCode.WRONG_TYPE),
    ("address.city", Code("x"), ReasonCode.WRONG_TYPE),
    ("address.city", Binary(b"x"), ReasonCode.WRONG_TYPE),
    ("address.city", "", ReasonCode.EMPTY),
    ("wild", 2, ReasonCode.WRONG_TYPE),
    ("meta.label", "tulip", ReasonCode.UNKNOWN_LABEL),
    ("meta.label", 1, ReasonCode.UNKNOWN_LABEL),
    ("meta.label", Decimal128("NaN"), ReasonCode.UNKNOWN_LABEL),
    ("meta.label", MIDNIGHT, ReasonCode.WRONG_TYPE),
    ("meta.at", Timestamp(1, 1), ReasonCode.WRONG_TYPE),
    ("meta.source", 5, ReasonCode.WRONG_TYPE),
]


def test_values_of_every_kind_at_paths_are_used_or_kept_out_by_code_and_field(
    collection: Any, problem: Problem, machine: Settings, run_task: Callable[..., Any]
) -> None:
    good = [changed(path, value, number) for number, (path, value, _) in enumerate(USED)]
    bad = [changed(path, value, 100 + n) for n, (path, value, _) in enumerate(REFUSED)]
    for document in [*good, *bad]:
        # Each is another content, whatever differs.
        document["size"] = (
            document["size"] | {"height": int(document["_id"][6:])}
            if isinstance(document["size"], dict) and "width" in document["size"]
            else document["size"]
        )
    collection.insert_many([*good, *bad])
    store = SnapshotStore(problem.name, machine)

    ingested = run_task(ingest, problem)
    again = run_task(ingest, problem)

    rows = {row["id"]: row for row in store.read(ingested.snapshot).to_pylist()}
    found = reasons_of(store, ingested)
    assert {key: row["label"] for key, row in rows.items()} == {
        document["_id"]: "rose" for document in good
    }
    assert [rows[f"plant-{n}"]["inputs"][path] for n, (path, _, _) in enumerate(USED)] == [
        stored for _, _, stored in USED
    ]
    assert {rows[key]["source"] for key in rows} == {"shop"}
    assert [found[f"plant-{100 + n}"].code for n in range(len(REFUSED))] == [
        code for _, _, code in REFUSED
    ]
    assert all(
        reason.field in {*FIELDS, "meta.label", "meta.at", "meta.source"}
        for reason in found.values()
    )
    assert ingested.accounts.quarantined[Reason(ReasonCode.WRONG_TYPE, "address.city")] == 3
    assert not again.accounts.changed


def test_labels_are_the_same_however_mongodb_stores_the_number(
    problem: Problem,
) -> None:
    stored = [7, 7.0, Int64(7), Decimal128("7"), Decimal128("7.00"), True]
    rows = judge_documents(
        [changed("meta.label", value, number) for number, value in enumerate(stored)], problem
    )

    assert rows["label"].to_pylist() == [*["oak"] * 5, "yes"]


def test_many_odd_labels_are_one_reason_that_shows_none_of_them(problem: Problem) -> None:
    odd = (changed("meta.label", f"odd {number}", number) for number in range(300))

    reasons = {
        Reason(ReasonCode(row["code"]), row["field"])
        for row in judge_documents(odd, problem).to_pylist()
    }

    assert reasons == {Reason(ReasonCode.UNKNOWN_LABEL, "meta.label")}


def test_the_first_day_of_the_calendar_and_an_endless_late_window_end_no_retraining(
    collection: Any, write_nested: Callable[..., Problem], run_task: Callable[..., Any]
) -> None:
    problem = write_nested(late_window="P1000000D")
    collection.insert_many(
        [
            changed("meta.at", datetime(1, 1, 1, tzinfo=UTC), 1),
            changed("meta.at", datetime(1, 1, 2, tzinfo=UTC), 2) | {"wild": False},
        ]
    )
    first = run_task(ingest, problem)
    collection.insert_one(changed("size.width", 9.5, 3))

    second = run_task(ingest, problem)

    assert (first.accounts.used, second.accounts.used) == (2, 3)
    with_client = open_documents(collection.database.client, problem)
    count, newest, found = read_newest(
        with_client,
        problem,
        since=datetime(1, 1, 1, tzinfo=UTC),
        until=datetime(9999, 12, 31, tzinfo=UTC),
        limit=10,
    )
    assert (count, newest, len(found)) == (2, MIDNIGHT, 3 - 1)


@pytest.mark.parametrize(
    ("query", "used"),
    [
        ({"meta.at": {"$gte": date(2026, 1, 2)}}, 1),
        ({"meta.at": {"$gte": datetime(2026, 1, 2)}}, 1),  # noqa: DTZ001 - as YAML gives it
        ({"meta.at": {"$gte": {"$date": "2026-01-02T00:00:00Z"}}}, 1),
        ({"meta.at": {"$gte": {"$date": "2026-01-02"}}}, 1),
        ({"address.city": {"$oid": str(CITY)}}, 1),
        ({"size.width": {"$in": [{"$numberDecimal": "4.5"}]}}, 1),
        ({"$or": [{"address.city": {"$oid": str(CITY)}}, {"size.width": 1.5}]}, 3),
    ],
    ids=str,
)
def test_a_query_of_the_file_finds_what_its_values_mean(
    query: dict[str, Any],
    used: int,
    collection: Any,
    write_nested: Callable[..., Problem],
    run_task: Callable[..., Any],
) -> None:
    problem = write_nested(query=query)
    collection.insert_many(
        [
            changed("size.height", 1, 1),
            changed("meta.at", MIDNIGHT + timedelta(days=1), 2) | {"wild": False},
            changed("address.city", CITY, 3),
            changed("size.width", Decimal128("4.5"), 4),
        ]
    )

    assert run_task(ingest, problem).accounts.used == used
    assert collection.count_documents(read_query(query)) == used


BSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(-(2**63), 2**63 - 1).map(Int64),
        st.floats(width=64),
        st.text(max_size=20),
        st.binary(max_size=10),
        st.datetimes(timezones=st.just(UTC)),
        st.integers(-(2**63), 2**63 - 1).map(DatetimeMS),
        st.sampled_from(
            [
                *(Decimal128(each) for each in ("1", "NaN", "sNaN", "-Infinity", "1E+6111")),
                *(Decimal128(Decimal(each)) for each in (0, 7)),
                *(CITY, Regex("a", "i"), Code("x"), Code("x", {"y": 1}), Timestamp(1, 1)),
                *(MinKey(), MaxKey(), Binary(b"x", 4), Binary(b"x" * 16, 4), "\ud800", "rose"),
                *(GOOD["size"], GOOD["meta"], MIDNIGHT),
            ]
        ),
    ),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.text("abw.$", max_size=3) | st.sampled_from(["width", "label"]), inner)
    ),
    max_leaves=4,
)
PLACES = st.sampled_from(
    [*FIELDS, "size", "address", "meta", "meta.label", "meta.at", "meta.source", "_id"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PLACES, BSON)
def test_any_value_in_any_field_is_used_or_kept_out_with_a_known_code(
    problem: Problem, path: str, value: Any
) -> None:
    (row,) = judge_documents([changed(path, value)], problem).to_pylist()

    if row["status"] == "used":
        assert row["reason"] is None
        return
    assert row["status"] == "quarantined"
    reason = Reason(ReasonCode(row["code"]), row["field"])
    assert reason.field in {*FIELDS, "meta.label", "meta.at", "meta.source"}
    assert str(reason).startswith(f"{reason.field} ")
    assert row["reason"]
