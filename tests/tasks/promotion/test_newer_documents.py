"""Newer documents are those whose words or labels an earlier snapshot did not have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from perennial.registry.model_version import ModelVersion
from perennial.registry.tags import TAG
from tasks.promotion.unseen import arrived_after, has_newer_documents
from tests.perennial.examples import some_examples
from tests.tasks.promotion.test_unseen import Snapshots, documents, problem_of, table, version_of

Row = tuple[int, int, str, str | None, int]
PROBLEM = problem_of({"by": "content"}, 0.2)
ROWS: list[Row] = [(n, n, "ab"[n % 2], None, 0) for n in range(40)]


def has_newer(now: list[Row], *, records: bool = False) -> bool:
    problem = problem_of({"by": "document"}, 0.2, records=True) if records else PROBLEM
    snapshots = Snapshots(table(ROWS), table(now))
    version = version_of(problem, snapshots)
    with snapshots.there():
        return has_newer_documents(problem, version, snapshots.snapshot(1))


@pytest.mark.parametrize(
    ("now", "newer"),
    [
        ([*ROWS, (40, 40, "a", None, 1)], True),
        ([(0, 0, "b", None, 0), *ROWS[1:]], True),
        ([(0, 77, "a", None, 0), *ROWS[1:]], True),
        (ROWS, False),
        (ROWS[1:], False),
        (ROWS[::-1], False),
        ([(0, 0, "a", "a customer", 5), *ROWS[1:]], False),
        ([*ROWS, (40, 3, "b", None, 1)], False),
    ],
    ids=[
        "one more",
        "another label",
        "another text",
        "the same",
        "one less",
        "another order",
        "another trait",
        "a copy",
    ],
)
def test_a_later_snapshot_has_newer_documents_if_one_says_something_new(
    now: list[Row], newer: bool
) -> None:
    assert has_newer(now) is newer


def test_an_equal_record_is_a_new_case_where_each_is_a_case_of_its_own() -> None:
    assert has_newer([*ROWS, (40, 3, "b", None, 1)], records=True)


def test_nothing_is_newer_in_the_same_snapshot_nor_in_an_earlier_one() -> None:
    snapshots = Snapshots(table(ROWS), table(ROWS[:20]))
    with snapshots.there():
        for number in (0, 1):
            version = version_of(PROBLEM, snapshots, number)
            assert not has_newer_documents(PROBLEM, version, snapshots.snapshot(0))


@pytest.mark.parametrize("tags", [{}, {"snapshot_version": "-3", "snapshot_digest": "x"}])
def test_nothing_is_newer_than_what_nobody_can_read_any_more(tags: dict[str, str]) -> None:
    snapshots = Snapshots(table(ROWS), table([*ROWS, (40, 40, "a", None, 1)]))
    unknown = ModelVersion("reviews", 1, "run", {TAG + key: value for key, value in tags.items()})
    changed = version_of(PROBLEM, snapshots)
    damaged = ModelVersion("reviews", 1, "run", {**changed.tags, f"{TAG}snapshot_digest": "other"})

    with snapshots.there():
        for version in (unknown, damaged):
            assert not has_newer_documents(PROBLEM, version, snapshots.snapshot(1))
            new = arrived_after(PROBLEM, version, snapshots.snapshot(1), snapshots.tables[1])
            assert not new.any()


@some_examples
@given(documents, documents)
def test_what_has_arrived_was_in_no_part_of_the_earlier_snapshot(
    first: list[Any], added: list[Any]
) -> None:
    then = [(number, *row) for number, row in enumerate(first)]
    now = [(number, *row) for number, row in enumerate([*first, *added])]
    snapshots = Snapshots(table(then), table(now))

    with snapshots.there():
        version = version_of(PROBLEM, snapshots)
        mask = arrived_after(PROBLEM, version, snapshots.snapshot(1), snapshots.tables[1])

    known = {row[1] for row in then}
    assert np.array_equal(mask, [row[0] >= len(then) and row[1] not in known for row in now])
