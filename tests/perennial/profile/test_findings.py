"""Findings: what each column of unknown data is taken for, and what is for no classifier."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perennial.errors import OutsideError
from perennial.profile.columns import Role
from perennial.profile.labels import LabelGuess
from tests.perennial.profile.tables import choices, draft, find, labels, numbers, texts

N = 200

ROLES: list[tuple[str, Iterable[Any], Role]] = [
    ("size", numbers(N), Role.NUMBER),
    ("size", [*numbers(N - 3), "?", "NA", ""], Role.NUMBER),
    ("age", choices(range(90), N), Role.NUMBER),
    ("old", choices(["0", "1"], N), Role.BOOLEAN),
    ("old", choices(["Yes", "No", ""], N), Role.BOOLEAN),
    ("old", choices([True, False], N), Role.BOOLEAN),
    ("zip", choices(["01067", "80331", "10115"], N), Role.CATEGORY),
    ("branch", choices(["01", "02", "11"], N), Role.CATEGORY),
    ("city", choices(["Ulm", "Bern", "Graz"], N), Role.CATEGORY),
    ("body", texts(N), Role.TEXT),
    ("body", [f"这个商店今天又关门了我很不高兴{n}" for n in range(N)], Role.TEXT),
    ("id", [str(n) for n in range(N)], Role.ID),
    ("", [str(n) for n in range(1, N + 1)], Role.ID),
    ("uuid", [f"{n:032x}" for n in range(N)], Role.ID),
    ("ticket_id", [str(7 * n * n) for n in range(N)], Role.ID),
    ("who", [f"Person {n} of Ulm" for n in range(N)], Role.TEXT),
    ("package", [f"lib{chr(97 + n % 26)}tool{n}-dev-doc" for n in range(N)], Role.TEXT),
    ("plate", [f"U{n // 2}K{n}" for n in range(N - 1)] + ["U0K0"], Role.NAME),
    ("made", [f"2026-01-{1 + n % 28:02d}" for n in range(N)], Role.DATE),
    ("made", [f"2026-01-31T12:00:{n % 60:02d}+01:00" for n in range(N)], Role.DATE),
    ("made", [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(N)], Role.DATE),
    ("empty", ["", None, "NA", "?"] * (N // 4), Role.EMPTY),
    ("same", ["x"] * N, Role.CONSTANT),
    ("tags", [["a", "b"], ["a"]] * (N // 2), Role.WORDS),
    ("pairs", [[1, 2], [3]] * (N // 2), Role.LIST),
]


@pytest.mark.parametrize(
    ("name", "values", "role"), ROLES, ids=[f"{row[0]}-{row[2]}-{n}" for n, row in enumerate(ROLES)]
)
def test_a_column_is_taken_for_what_it_holds(name: str, values: Any, role: Role) -> None:
    found = find({"extent": numbers(N, 1), name: values, "label": labels(N)})

    assert found.columns[name].role is role


@pytest.mark.parametrize(
    ("values", "decimal"),
    [
        (["3,5", "1.234,75", "1.234", "7"], ","),
        (["3.5", "1,234.75", "7"], "."),
        (["3,5", "3.5", "7"], "."),
        (["1,234", "5,678"], "."),
        (["1.5", "?", "7"], "."),
    ],
)
def test_a_decimal_comma_is_found_where_no_number_has_another_mark(
    values: list[str], decimal: str
) -> None:
    found = draft({"price": choices(values, N), "size": numbers(N), "label": labels(N)})

    written = (found.problem.inputs or {}).get("price")
    assert (written.decimal if written is not None else ".") == decimal


LABELS: list[tuple[dict[str, Any], str]] = [
    ({"x": numbers(N), "label": labels(N), "city": choices(["Ulm", "Bern"], N)}, "label"),
    ({"target": labels(N), "old": choices("01", N), "x": numbers(N)}, "target"),
    ({"old": choices("01", N), "x": numbers(N), "churned": labels(N)}, "churned"),
    (
        {"class": choices(["1st", "2nd"], N), "x": numbers(N), "survived": choices("01", N)},
        "survived",
    ),
    ({"x": numbers(N), "class": choices(["a", "b", "c"], N)}, "class"),
    ({"body": texts(N), "topic": choices(["a", "b", "c"], N)}, "topic"),
    ({"spam": labels(N), "body": texts(N)}, "spam"),
    ({"x": numbers(N), "y": choices("123", N)}, "y"),
    ({"x": numbers(N), "метка": labels(N), "z": choices("ab", N)}, "метка"),
]


@pytest.mark.parametrize(("columns", "label"), LABELS, ids=[row[1] for row in LABELS])
def test_the_label_is_told_by_name_values_and_place(columns: dict[str, Any], label: str) -> None:
    assert find(columns).label.name == label


def test_a_person_is_asked_where_two_columns_could_be_the_label() -> None:
    asked: list[LabelGuess] = []

    def choose(guess: LabelGuess) -> str:
        asked.append(guess)
        return "shape"

    columns = {"x": numbers(N), "shape": choices("abc", N), "risk": labels(N)}
    found = find(columns | {"status": labels(N), "z": numbers(N, 1)}, choose=choose)

    assert found.label.name == "shape"
    assert asked[0].column == "risk"
    assert "status" in asked[0].others


def test_nobody_is_asked_what_is_clear() -> None:
    def choose(guess: LabelGuess) -> str:
        raise AssertionError(guess)

    assert find({"x": numbers(N), "label": labels(N)}, choose=choose).label.name == "label"


REFUSED: list[tuple[str, dict[str, Any], str | None, str]] = [
    (
        "regression",
        {"x": numbers(800), "label": numbers(800, 1)},
        None,
        "'label' is a number with .*",
    ),
    (
        "prices",
        {"x": labels(800), "price": numbers(800)},
        None,
        "'price' is a number with \\d+ diff",
    ),
    (
        "whole",
        {"x": labels(800), "y": [str(n * 3) for n in range(800)]},
        "y",
        "'y' is a number with",
    ),
    (
        "list",
        {"x": numbers(N), "tags": [["a", "b"], ["a"]] * 100},
        "tags",
        "several labels in one row",
    ),
    (
        "joined",
        {"x": numbers(N), "genre": choices(["a", "b", "a;b", "b|c", "c"], N)},
        "genre",
        "several",
    ),
    ("written", {"x": numbers(N), "label": [json.dumps(["a", "b"])] * N}, None, "several labels"),
    ("empty", {"x": numbers(N), "label": [""] * N}, None, "'label' is empty"),
    ("one", {"x": numbers(N), "label": ["a"] * N}, None, "has one value only, 'a'"),
    (
        "one known",
        {"x": numbers(N), "label": ["a", "NA"] * (N // 2)},
        None,
        "has one value only, 'a'",
    ),
    (
        "names",
        {"x": numbers(N), "label": [f"n{n}" for n in range(N)]},
        None,
        "hardly any of them twice",
    ),
    (
        "many",
        {"x": numbers(9_000), "label": [f"n{n % 600}" for n in range(9_000)]},
        None,
        "500 labels",
    ),
    (
        "none",
        {"x": numbers(N), "z": numbers(N, 1)},
        None,
        "'z' is a number with|No column could be",
    ),
    ("dates", {"x": numbers(N), "label": ["2026-01-31", "2026-01-30"] * 100}, None, "has dates"),
    ("alone", {"label": labels(N)}, None, "No column beside the label 'label' could be the input"),
    ("ids", {"id": [str(n) for n in range(N)], "label": labels(N)}, None, "input: id \\(an id\\)"),
    (
        "unknown",
        {"x": numbers(N), "label": labels(N)},
        "lable",
        "no column 'lable'; there are x, label",
    ),
]


@pytest.mark.parametrize(
    ("columns", "label", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_is_for_no_classifier_is_named_in_one_sentence(
    columns: dict[str, Any], label: str | None, said: str
) -> None:
    with pytest.raises(OutsideError, match=said) as raised:
        find(columns, label=label)

    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


def test_a_field_that_alone_says_the_label_is_left_out() -> None:
    said = labels(N)
    shown = {"yes": "closed", "no": "open"}

    found = find({"x": numbers(N), "state": [shown[label] for label in said], "label": said})

    assert [(leak.field, leak.is_certain) for leak in found.leaks] == [("state", True)]
    assert [each.name for each in found.fields] == ["x"]
    assert found.left_out["state"].startswith("a leak: it alone says the label")


def test_a_number_that_alone_says_the_label_is_left_out() -> None:
    said = labels(1_000)
    amounts = numbers(1_000)
    paid = [
        f"{abs(float(a)) + 0.01 if label == 'yes' else -abs(float(a))}"
        for a, label in zip(amounts, said, strict=True)
    ]

    found = find({"x": numbers(1_000, 2), "paid": paid, "label": said})

    assert "paid" in found.left_out


def test_a_good_field_is_no_leak() -> None:
    said = labels(N)
    good = [label if n % 7 else "no" for n, label in enumerate(said)]

    found = find({"x": numbers(N), "good": good, "label": said})

    assert not found.leaks
    assert [each.name for each in found.fields] == ["x", "good"]


def test_the_rows_of_a_customer_are_a_group() -> None:
    columns = {"x": numbers(400), "customer_id": choices(range(100), 400), "label": labels(400)}

    made = draft(columns)

    assert (made.problem.split.by, made.problem.split.field) == ("group", "customer_id")
    assert list(made.problem.inputs or {}) == ["x"]


def test_a_customer_that_is_a_number_is_a_group_and_one_of_a_few_kinds_is_a_field() -> None:
    kinds = [f"customer of kind {'abcdefghijklmnopqrstuvwxyz'[n]}" for n in range(26)]
    for name, values, by in (
        ("customer", choices(range(7_000, 7_100), 400), "group"),
        ("customer", choices([f"K-{n:04d}" for n in range(100)], 400), "group"),
        ("customer", choices(kinds, 400), "content"),
        ("customers", choices(range(7_000, 7_100), 400), "content"),
    ):
        made = draft({"x": numbers(400), name: values, "label": labels(400)})

        assert made.problem.split.by == by
        assert list(made.problem.inputs or {}) == (["x"] if by == "group" else ["x", name])


def test_a_row_above_which_no_header_stands_is_named() -> None:
    rows = {"the printer is broken": texts(300), "loss": choices(["loss", "gain"], 300)}

    with pytest.raises(OutsideError, match=r"no header, as 'loss' is the name of a column and one"):
        find(rows)

    assert find(rows, label="loss").label.name == "loss"


def test_an_object_around_the_rows_is_named() -> None:
    rows = [{"body": "the shop is down", "label": "shop"}] * 20

    with pytest.raises(OutsideError, match=r"one object, whose 'tickets' is a list of others; if"):
        find({"version": [2], "tickets": [rows]})


def test_a_customer_with_one_row_each_is_an_id() -> None:
    columns = {"x": numbers(400), "customer_id": range(400), "label": labels(400)}

    made = draft(columns)

    assert made.problem.split.by == "content"
    assert made.findings.left_out == {"customer_id": "an id"}


def test_repeated_inputs_and_their_labels_are_counted() -> None:
    found = find(
        {"body": ["the shop is down", *texts(97), *["the shop is down"] * 2], "label": labels(100)}
    )

    assert found.repeats.share == pytest.approx(0.02)
    assert found.repeats.conflicting == pytest.approx(0.03)


def test_words_for_no_label_are_none() -> None:
    made = draft({"x": numbers(N), "label": ["a", "b", "NA", "?"] * (N // 4)})

    assert [label.name for label in made.labels] == ["a", "b"]
    assert made.findings.unlabelled == N // 2


@pytest.mark.parametrize(
    ("words", "scripts"),
    [
        (["das", "Geschäft", "ist", "zu"], ["Latin"]),
        (["магазин", "закрыт", "сегодня"], ["Cyrillic"]),
        (["दुकान", "आज", "बंद"], ["Devanagari"]),
        (["המזון", "סגור"], ["Hebrew"]),
    ],
)
def test_the_script_of_texts_is_found(words: list[str], scripts: list[str]) -> None:
    found = find(
        {"body": [" ".join(choices(words, 8, n)) + f" {n}" for n in range(N)], "label": labels(N)}
    )

    assert found.text is not None
    assert found.text.scripts == scripts


def test_a_column_of_single_words_is_the_text_if_there_is_no_other() -> None:
    made = draft(
        {
            "name": [f"Anna{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(N)],
            "label": labels(N),
        }
    )

    assert made.problem.source.fields.text == "name"
    assert made.problem.limits.min_words == 1


def test_a_long_table_is_sampled_from_its_beginning_to_its_end() -> None:
    rows = 45_000
    found = find(
        {"z": numbers(rows), "x": range(rows), "label": ["a"] * (rows - 400) + ["b"] * 400}
    )

    assert found.table.rows == rows
    assert found.label.column.counts == {"a": rows - 400, "b": 400}
    assert len(found.label.column.sample) <= 20_000
    assert found.columns["x"].column.sample[-1] > rows - 10
