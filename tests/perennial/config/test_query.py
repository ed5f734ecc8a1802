"""Queries and labels as people write them in YAML: used with their meaning, or named by line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import ProblemError
from perennial.query import QueryError, read_query, write_query

FILE = """\
source:
  database: garden
  collection: flowers
  query: {QUERY}
inputs: {{width: number}}
labels:
  a: {LABEL}
  b: b
candidates:
  tree: {{estimator: decision_tree}}
"""
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)

Load = Callable[..., Problem]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def call(query: str = "{}", label: str = "a") -> Problem:
        path = tmp_path / "flowers.yaml"
        path.write_text(FILE.format(QUERY=query, LABEL=label))
        return load_problem(path)

    return call


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{at: {$gte: 2026-01-01}}", {"at": {"$gte": NEW_YEAR}}),
        ("{at: {$gte: 2026-01-01T00:00:00Z}}", {"at": {"$gte": NEW_YEAR}}),
        ("{at: {$gte: 2026-01-01T02:00:00+02:00}}", {"at": {"$gte": NEW_YEAR}}),
        ("{at: {$gte: 2026-01-01 00:00:00}}", {"at": {"$gte": NEW_YEAR}}),
        ("{at: {$gte: {$date: 2026-01-01}}}", {"at": {"$gte": NEW_YEAR}}),
        ("{at: {$gte: {$date: '2026-01-01T00:00:00Z'}}}", {"at": {"$gte": NEW_YEAR}}),
        ("{at: {$date: {$numberLong: '1767225600000'}}}", {"at": NEW_YEAR}),
        (
            "{at: {$date: {$numberLong: '99999999999999999'}}}",
            {"at": DatetimeMS(99999999999999999)},
        ),
        ("{at: '2026-01-01'}", {"at": "2026-01-01"}),
        ("{at: {$lt: 0001-01-01}}", {"at": {"$lt": datetime(1, 1, 1, tzinfo=UTC)}}),
        (
            "{_id: {$in: [{$oid: 507f191e810c19729de860ea}]}}",
            {"_id": {"$in": [ObjectId("507f191e810c19729de860ea")]}},
        ),
        ("{n: {$numberDecimal: '1.5'}}", {"n": Decimal128("1.5")}),
        ("{n: {$numberLong: '5'}}", {"n": Int64(5)}),
        ("{n: 9223372036854775807}", {"n": 2**63 - 1}),
        ("{n: .inf}", {"n": float("inf")}),
        ("{a: {$regex: ^x, $options: i}}", {"a": {"$regex": "^x", "$options": "i"}}),
        (
            "{a: {$regularExpression: {pattern: ^x, options: ''}}}",
            {"a": Regex("^x")},
        ),
        ("{$expr: {$gt: [$a, $b]}}", {"$expr": {"$gt": ["$a", "$b"]}}),
        ("{a: &yes true, b: *yes}", {"a": True, "b": True}),
        ("{a: yes}", {"a": "yes"}),
        ("{meta.lang: en}", {"meta.lang": "en"}),
    ],
)
def test_a_value_in_a_query_is_what_mongodb_compares(
    written: str, meant: dict[str, Any], load: Load
) -> None:
    problem = load(written)

    assert problem.source.query == meant
    assert Problem.model_validate_json(problem.model_dump_json()) == problem
    assert problem.digest != load().digest


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{n: 12345678901234567890}", "n is a number of more than 64 bits; MongoDB's whole numb"),
        ("{n: {$in: [1, -9223372036854775809]}}", "n.$in.1 is a number of more than 64 bits; "),
        ("{n: {$numberLong: '9223372036854775808'}}", "n is a number of more than 64 bits; "),
        ("{1: x}", "1 is no name of a field; write it in quotes if it is one."),
        ("{$where: 'true'}", "$where runs a script on the server; write a condition that needs "),
        ("{$expr: {$function: {body: f}}}", "$expr.$function runs a script on the server; "),
        ("{n: {$gtee: 1}}", "n.$gtee is no operator of MongoDB's queries; look for its name "),
        ("{n: {$oid: x}}", "n.$oid is no value of MongoDB's extended JSON ("),
        ("{n: {$date: yesterday}}", "n.$date is no value of MongoDB's extended JSON ("),
        ("{n: {$numberDecimal: x}}", "n.$numberDecimal is no value of MongoDB's extended JSON ("),
        ("{n: 0001-01-01T00:00:00+05:00}", "n is 0001-01-01T00:00:00+05:00; in UTC this is no "),
        ("{n: !!set {x}}", "n is a CommentedSet; write a value that JSON or MongoDB has."),
        ("{n: !odd x}", "n is a TaggedScalar; write a value that JSON or MongoDB has."),
    ],
)
def test_a_value_that_mongodb_does_not_have_is_named_with_its_line(
    written: str, says: str, load: Load
) -> None:
    with pytest.raises(ProblemError) as error:
        load(written)

    assert f"flowers.yaml, line 4: source.query.{says}" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("2026-01-01", "is 2026-01-01, which YAML reads as a date; a label is stored as a text, "),
        ("2026-01-01T01:00:00Z", "is 2026-01-01T01:00:00+00:00, which YAML reads as a date; "),
        ("null", "is null; a label is stored as a text, a whole number, or true or false; write"),
        ("0.5", "is 0.5; a label is stored as a text, a whole number, or true or false."),
        (".nan", "is nan; a label is stored as a text, a whole number, or true or false."),
        ("12345678901234567890", "is 12345678901234567890; MongoDB's whole numbers end at 92233"),
        ("[1]", "is [1]; a label is stored as a text, a whole number, or true or false."),
        ("!odd x", "is TaggedScalar("),
    ],
)
def test_what_is_no_label_is_named_in_one_sentence_with_its_line(
    written: str, says: str, load: Load
) -> None:
    with pytest.raises(ProblemError) as error:
        load(label=written)

    assert f"flowers.yaml, line 7: labels.a {says}" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("written", "stored"),
    [("yes", "yes"), ("no", "no"), ("true", True), ("1.0", 1), ("'1'", "1"), ("-1", -1)],
)
def test_a_label_is_what_yaml_says_it_is(written: str, stored: object, load: Load) -> None:
    found = load(label=written).labels["a"]

    assert (type(found), found) == (type(stored), stored)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.datetimes()
    | st.dates()
    | st.decimals(allow_nan=True),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text("ab.$\0", max_size=3)
            | st.sampled_from(["$gte", "$date", "$oid", "$numberLong"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.text(max_size=3) | st.integers(), values, max_size=3))
def test_any_query_is_read_and_written_again_or_refused(query: dict[Any, Any]) -> None:
    try:
        read = read_query(query)
    except QueryError as error:
        assert str(error)  # noqa: PT017
        return
    written = write_query(read)

    assert write_query(read_query(json.loads(json.dumps(written)))) == written
