"""Nothing is on both sides of a split, and every label is, as far as its documents allow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config.sections.split import RareLabels, SplitBy
from perennial.documents.documents import in_holdout
from perennial.hashing import digest
from perennial.inputs.base import content_hash
from perennial.splits.rare_labels import relabel
from perennial.splits.split import Sides, SplitRule, side_keys, split_documents
from perennial.splits.summary import SplitSummary
from tests.perennial.examples import some_examples

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CONTENT, GROUP, TIME = SplitRule(), SplitRule("group", field="customer"), SplitRule("time")


def table(rows: list[tuple[int, str, str | None, int]], **more: Any) -> pa.Table:
    """Return documents of numbers of a content, labels, groups and days."""
    return pa.table(
        {
            "id": [f"d{position}" for position in range(len(rows))],
            "created_at": pa.array(
                [START + DAY * day for *_, day in rows], pa.timestamp("us", "UTC")
            ),
            "label": pa.array([label for _, label, *_ in rows], pa.string()),
            "content": pa.array([digest(f"{number}".encode()) for number, *_ in rows], pa.binary()),
            "group": pa.array([group for *_, group, _ in rows], pa.string()),
            **more,
        }
    )


documents = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from("abc"),
        st.none() | st.sampled_from([f"customer {n}" for n in range(8)]),
        st.integers(0, 30),
    ),
    min_size=1,
    max_size=60,
)
rules = st.sampled_from(["content", "group", "time"]).flatmap(
    lambda by: st.builds(SplitRule, st.just(by), st.floats(0.05, 0.6), st.just("customer"))
)


def values(column: Any, rows: Any) -> set[Any]:
    return set(column.filter(pa.array(rows)).to_pylist()) - {None}


def check_nothing_is_on_both_sides(made: pa.Table, sides: Sides, by: str) -> None:
    assert not (sides.training & sides.holdout).any()
    for name in ("content", "representative", *(["group"] if by == "group" else [])):
        if name in made.column_names:
            assert not values(made[name], sides.training) & values(made[name], sides.holdout), name
    if by == "time" and sides.holdout.any() and sides.training.any():
        times = np.array(made["created_at"].to_pylist())
        assert times[sides.training].max() <= sides.cut < times[sides.holdout].min()


@some_examples
@given(documents, st.floats(0.05, 0.6))
def test_by_document_each_one_has_a_side_of_its_own_whatever_it_says(
    rows: list[Any], share: float
) -> None:
    made, rule = table(rows), SplitRule("document", share, has_copies=False)
    edited = made.set_column(
        made.schema.get_field_index("content"), "content", pa.array([bytes(16)] * len(made))
    )

    sides, again = split_documents(made, rule), split_documents(edited, rule)

    assert (sides.training ^ sides.holdout).all()
    assert (sides.holdout == again.holdout).all()


@some_examples
@given(documents, st.sampled_from(["group", "time"]), st.floats(0.05, 0.6))
def test_equal_records_of_another_group_or_time_are_not_set_aside(
    rows: list[Any], by: SplitBy, share: float
) -> None:
    made = table(rows)

    sides = split_documents(made, SplitRule(by, share, "customer", has_copies=False))

    assert sides.copies == 0
    assert (sides.training ^ sides.holdout).all()


@some_examples
@given(documents, rules, st.integers(0, 2**32 - 1))
def test_no_copy_and_no_group_is_on_both_sides(rows: list[Any], rule: SplitRule, seed: int) -> None:
    made = table(rows)
    may_judge = np.random.default_rng(seed).random(len(rows)) < 0.8

    sides = split_documents(made, rule, may_judge)

    check_nothing_is_on_both_sides(made, sides, rule.by)
    assert not (sides.holdout & ~may_judge).any()
    set_aside = ~sides.training & ~sides.holdout
    assert set_aside.sum() == sides.copies + sides.feedback


@some_examples
@given(documents, rules, st.randoms())
def test_the_order_of_documents_changes_nothing(
    rows: list[Any], rule: SplitRule, random: Any
) -> None:
    made = table(rows)
    order = list(range(len(rows)))
    random.shuffle(order)

    sides, mixed = split_documents(made, rule), split_documents(made.take(order), rule)

    # Of copies in one key it does not matter which row is which.
    np.testing.assert_array_equal(sides.holdout[order], mixed.holdout)
    np.testing.assert_array_equal(sides.training[order], mixed.training)


@some_examples
@given(documents)
def test_near_copies_are_on_one_side_whatever_the_split(rows: list[Any]) -> None:
    # As if documents of ten contents in a row were near-copies of the first one.
    alike = pa.array([digest(f"{number // 10}".encode()) for number, *_ in rows], pa.binary())
    made = table(rows, representative=alike)

    for rule in (CONTENT, GROUP, TIME):
        check_nothing_is_on_both_sides(made, split_documents(made, rule), rule.by)


@some_examples
@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=60), st.floats(0.02, 0.9))
def test_every_label_with_two_contents_is_on_both_sides(labels: list[str], share: float) -> None:
    made = table([(number, label, None, 0) for number, label in enumerate(labels)])

    sides = split_documents(made, SplitRule(share=share))

    for label in set(labels):
        rows = np.array(labels) == label
        if rows.sum() > 1:
            assert (sides.training & rows).any()
            assert (sides.holdout & rows).any()
    expected = in_holdout(side_keys(made, "content"), share)
    moved = sides.holdout != expected
    # One document for each label that would have lacked, and nothing else.
    assert moved.sum() == len(sides.added)
    assert {label for label, out in zip(labels, moved, strict=True) if out} == set(sides.added)


@some_examples
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 11)), min_size=2, max_size=60),
    st.floats(0.02, 0.9),
)
def test_every_label_that_two_groups_have_alone_is_on_both_sides_by_group(
    made: list[tuple[str, int]], share: float
) -> None:
    # Each group has one label, so that none is needed for another one.
    rows = [(n, label, f"{label}{group}", 0) for n, (label, group) in enumerate(made)]
    documents = table(rows)

    sides = split_documents(documents, SplitRule("group", share, "customer"))

    for label in "abc":
        groups = {group for name, group in made if name == label}
        if len(groups) > 1:
            assert label in values(documents["label"], sides.training)
            assert label in values(documents["label"], sides.holdout)


def test_known_documents_stay_in_the_holdout_they_were_always_in() -> None:
    texts = [f"This is the film {number}." for number in range(20)]
    made = pa.table(
        {
            "id": texts,
            "created_at": pa.array([START] * 20, pa.timestamp("us", "UTC")),
            "label": ["good", "bad"] * 10,
            "content": pa.array([content_hash(text) for text in texts], pa.binary()),
        }
    )

    sides = split_documents(made, CONTENT)

    assert np.flatnonzero(sides.holdout).tolist() == [0, 7, 9, 10, 14]
    assert not sides.added
    assert (sides.training | sides.holdout).all()


def test_the_side_of_a_group_is_a_property_of_its_name() -> None:
    made = table([(number, "ab"[number % 2], f"c{number % 50}", 0) for number in range(400)])

    everything = split_documents(made, GROUP)
    half = split_documents(made.slice(0, 200), GROUP)

    np.testing.assert_array_equal(everything.holdout[:200], half.holdout)
    assert sorted(values(made["group"], everything.holdout)) == [
        "c13",
        "c18",
        "c19",
        "c20",
        "c23",
        "c24",
        "c27",
        "c35",
        "c37",
        "c45",
        "c48",
        "c5",
        "c6",
    ]


def test_a_document_without_the_field_is_a_group_of_its_own() -> None:
    made = table([(number, "ab"[number % 2], None, 0) for number in range(400)])

    by_group, by_content = split_documents(made, GROUP), split_documents(made, CONTENT)

    np.testing.assert_array_equal(by_group.holdout, by_content.holdout)
    lacking = split_documents(made.drop_columns(["group"]), GROUP)
    np.testing.assert_array_equal(lacking.holdout, by_content.holdout)


def test_a_text_that_two_customers_have_sent_is_not_judged_on_if_it_is_learned_from() -> None:
    rows = [(number, "ab"[number % 2], f"c{number % 50}", 0) for number in range(400)]
    # The first holdout group sends once more what a training group has sent.
    alone = split_documents(table(rows), GROUP)
    known = int(np.flatnonzero(alone.training)[0])
    held = rows[int(np.flatnonzero(alone.holdout)[0])]
    made = table([*rows, (rows[known][0], held[1], held[2], 0)])

    sides = split_documents(made, GROUP)

    assert not sides.holdout[-1]
    assert not sides.training[-1]
    assert sides.copies == 1


def test_by_time_the_newest_share_is_held_out() -> None:
    made = table([(number, "ab"[number % 2], None, number) for number in range(100)])

    sides = split_documents(made, TIME)

    assert np.flatnonzero(sides.holdout).tolist() == list(range(80, 100))
    assert sides.cut == START + 79 * DAY
    since = SplitRule("time", since=START + 89 * DAY)
    assert np.flatnonzero(split_documents(made, since).holdout).tolist() == list(range(90, 100))


@pytest.mark.parametrize(
    ("rare", "held_out", "side"),
    [
        pytest.param((10, 70), list(range(70, 100)), "holdout", id="its newest one is too old"),
        pytest.param((85, 99), list(range(86, 100)), "training", id="its oldest one is too new"),
        pytest.param((5, 10), list(range(80, 100)), None, id="both are far too old"),
        pytest.param((97, 99), list(range(80, 100)), None, id="both are far too new"),
    ],
)
def test_by_time_the_cut_moves_a_little_for_the_smallest_class(
    rare: tuple[int, int], held_out: list[int], side: str | None
) -> None:
    made = table([(n, "c" if n in rare else "ab"[n % 2], None, n) for n in range(100)])

    sides = split_documents(made, TIME)

    assert np.flatnonzero(sides.holdout).tolist() == held_out
    assert sides.added == ({"c": side} if side else {})


def test_documents_of_one_moment_are_on_one_side() -> None:
    made = table([(number, "ab"[number % 2], None, number // 30) for number in range(100)])

    sides = split_documents(made, TIME)

    # A tenth is what the last moment has.
    assert np.flatnonzero(sides.holdout).tolist() == list(range(90, 100))


@pytest.mark.parametrize("rule", [CONTENT, GROUP, TIME])
def test_feedback_on_what_belongs_to_the_holdout_is_set_aside_if_it_would_teach_it(
    rule: SplitRule,
) -> None:
    rows: list[Any] = [(n, "ab"[n % 2], f"c{n % 50}", n) for n in range(400)]
    sides = split_documents(table(rows), rule)
    held = rows[int(np.flatnonzero(sides.holdout)[0])]
    # A near-copy, of the same group, and no older.
    made = [*rows, (1000, held[1], held[2], held[3])]
    alike = [digest(f"{number}".encode()) for number, *_ in rows]
    documents = table(made, representative=pa.array([*alike, digest(f"{held[0]}".encode())]))
    may_judge = np.arange(401) < 400

    found = split_documents(documents, rule, may_judge)

    assert not found.training[-1]
    assert not found.holdout[-1]
    assert found.feedback == 1


RARE = table([(n, "a" if n < 60 else "b" if n < 95 else "c", None, n) for n in range(100)])
ALL = np.ones(100, np.bool_)


def test_rare_labels_are_dropped_or_become_one() -> None:
    labels = ("a", "b", "c", "d")

    dropped = relabel(RARE, RareLabels(below=10, do="drop"), labels, ALL)
    merged = relabel(RARE, RareLabels(below=50, do="merge", into="other"), labels, ALL)
    into_known = relabel(RARE, RareLabels(below=10, do="merge", into="b"), labels, ALL)

    assert (dropped.classes, dict(dropped.rare), dropped.dropped) == (
        ("a", "b"),
        {"c": 5, "d": 0},
        5,
    )
    assert dropped.documents["label"].to_pylist() == ["a"] * 60 + ["b"] * 35
    assert (merged.classes, merged.dropped) == (("a", "other"), 0)
    assert merged.documents["label"].to_pylist() == ["a"] * 60 + ["other"] * 40
    assert into_known.classes == ("a", "b")
    assert into_known.documents["label"].to_pylist() == ["a"] * 60 + ["b"] * 40


def test_what_is_too_little_even_merged_is_dropped() -> None:
    made = table([(n, "c" if n == 7 else "ab"[n % 2], None, n) for n in range(100)])

    found = relabel(made, RareLabels(below=2, do="merge", into="other"), ("a", "b", "c"), ALL)

    assert (found.classes, found.dropped) == (("a", "b"), 1)


def test_feedback_makes_no_label_common() -> None:
    policy = RareLabels(below=10, do="drop")
    collected = np.arange(100) < 65

    assert relabel(RARE, policy, ("a", "b", "c"), collected).classes == ("a",)
    assert relabel(RARE, None, ("a", "b", "c"), collected).classes == ("a", "b", "c")


def test_a_summary_says_everything_once() -> None:
    policy = RareLabels(below=8, do="drop")
    labels = ["c" if n < 5 else "b" if n > 85 and n % 2 else "a" for n in range(105)]
    recent = table([(n, label, None, n) for n, label in enumerate(labels)])
    everything = np.ones(105, np.bool_)
    relabelled = relabel(recent, policy, ("a", "b", "c"), everything)
    sides = split_documents(relabelled.documents, TIME)
    rows = [(n, "ab"[n % 2], f"c{n % 50}" if n % 4 else None, 0) for n in range(400)]
    groups = table(rows)
    by_group = split_documents(groups, GROUP)

    late = SplitSummary.of(TIME, sides, relabelled, policy)
    grouped = SplitSummary.of(GROUP, by_group, relabel(groups, None, ("a", "b"), ALL), None)

    assert late.title == "split by time, the holdout was created after 2026-03-29 00:00:00 UTC"
    assert "Labels added to the training documents" in late.notes[0]
    assert (
        late.notes[-1]
        == "Labels with fewer than 8 documents are dropped: c (5); documents left out: 5."
    )
    assert late.params["rare_labels.found"] == "c"
    assert grouped.title == "split by group (customer)"
    assert "documents without customer: 100, each a group of its own" in grouped.notes[0]
    assert grouped.figures["split.groups.training"] + grouped.figures["split.groups.holdout"] == 50
