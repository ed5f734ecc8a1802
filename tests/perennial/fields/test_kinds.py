"""Values of each kind: which are one, which are missing, and what a model gets of them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from perennial.fields import KINDS
from perennial.fields.base import plain
from perennial.inputs.records import check_record
from perennial.reasons import UnusableError


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("2026-11-28", "2026-11-28T00:00:00Z"),
        ("2026-11-28T14:30:00+02:00", "2026-11-28T12:30:00Z"),
        (date(2026, 11, 28), "2026-11-28T00:00:00Z"),
        (datetime(2026, 11, 28, 1, 2, 3, 4, tzinfo=UTC), "2026-11-28T01:02:03.000004Z"),
        (
            datetime(2026, 11, 28, 1, tzinfo=timezone(timedelta(hours=-5))),
            "2026-11-28T06:00:00Z",
        ),
        ("0001-01-01", "0001-01-01T00:00:00Z"),
    ],
)
def test_a_date_is_one_moment_however_it_is_written(value: Any, stored: str) -> None:
    kind = KINDS["date"]

    assert kind.check(value) == stored
    assert kind.check(kind.check(value)) == stored
    assert np.isfinite(kind.to_column([stored])).all()


@pytest.mark.parametrize("value", ["28.11.2026", "soon", 5, True, ["2026-11-28"]])
def test_what_is_no_date_says_how_one_is_written(value: Any) -> None:
    with pytest.raises(ValueError, match="not a date such as 2026-11-28"):
        KINDS["date"].check(value)


def test_a_date_is_given_to_models_by_its_parts() -> None:
    kind = KINDS["date"]

    (saturday, missing) = kind.to_column(["1970-01-03T06:00:00Z", None]).tolist()

    assert dict(zip(kind.parts, saturday, strict=True)) == {
        "year": 1970,
        "month": 1,
        "day": 3,
        "weekday": 5,
        "hour": 6,
        "days": 2.25,
    }
    assert all(map(math.isnan, missing))


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("b;a; b", ["a", "b"]),
        ("b, c|a", ["a", "b, c"]),
        ("one", ["one"]),
        (["b", " a "], ["a", "b"]),
    ],
)
def test_words_are_a_set_in_a_cell_or_a_list(cell: Any, words: list[str]) -> None:
    kind = KINDS["words"]

    assert kind.check(kind.from_file(cell)) == words


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("category", 3, "3"),
        ("category", 3.0, "3"),
        ("category", 0, "0"),
        ("boolean", 0, False),
        ("boolean", 1, True),
        ("boolean", 1.0, True),
        ("boolean", "Yes", True),
    ],
)
def test_numbers_may_name_categories_and_booleans(kind: str, value: Any, stored: Any) -> None:
    assert KINDS[kind].check(value) == stored


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((kind, value) for kind in KINDS for value in (None, ..., float("nan"), "")),
        *((kind, value) for kind in ("number", "boolean", "date") for value in ("?", "NA", "n/a")),
    ],
)
def test_a_missing_value_of_any_kind_is_none_unless_it_is_required(kind: str, value: Any) -> None:
    fields = {"one": "number", "other": kind}
    given = {"one": 1.0} | ({} if value is ... else {"other": value})

    assert check_record(fields, given) == {"one": 1.0, "other": None}
    with pytest.raises(UnusableError) as refused:
        check_record(fields, given, ["other"])
    assert refused.value.field == "other"


def test_a_decimal_of_mongodb_that_is_no_number_is_missing() -> None:
    from bson.decimal128 import Decimal128

    for written in ("NaN", "sNaN"):
        assert KINDS["number"].is_missing(plain(Decimal128(written)))
