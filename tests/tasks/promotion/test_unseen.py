"""Production and challenger are compared only on what neither has learned from, whatever moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.hashing import digest
from perennial.registry.model_version import ModelVersion
from perennial.registry.tags import TAG, VersionTags
from perennial.splits.split import SplitRule, split_documents
from perennial.stores.snapshots.store import Snapshot
from tasks.promotion import unseen
from tasks.promotion.unseen import held_out_by, unseen_by
from tests.conftest import SMALL_PROBLEM
from tests.flows.problems.test_passengers import PROBLEM as PASSENGERS
from tests.perennial.examples import some_examples

START = datetime(2026, 1, 1, tzinfo=UTC)
SPLITS: list[dict[str, Any]] = [
    {"by": "content"},
    {"by": "group", "field": "customer"},
    {"by": "time"},
    {"by": "document"},
]


class Snapshots:
    """Snapshots of made documents, in the place of those in Delta Lake."""

    def __init__(self, *tables: pa.Table) -> None:
        self.tables = tables

    def snapshot(self, number: int) -> Snapshot:
        return Snapshot("reviews", number, f"{number:032}", len(self.tables[number]), "memory")

    def find(self, number: int) -> Snapshot:
        if number >= len(self.tables):
            raise OutsideError("gone")
        return self.snapshot(number)

    def read_keys(self, snapshot: Snapshot, *, near_copies: bool = True) -> pa.Table:
        found = self.tables[snapshot.version]
        kept = [name for name in found.column_names if near_copies or name != "representative"]
        return found.select(kept)

    def every_feedback_content(self, _: Snapshot) -> pa.Array:
        return pa.array([], pa.binary())

    @contextmanager
    def there(self) -> Iterator[Snapshots]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(unseen, "SnapshotStore", lambda *_: self)
            yield self


def table(rows: list[tuple[int, int, str, str | None, int]]) -> pa.Table:
    """Return documents of ids, contents, labels, groups and days."""
    ids, contents, labels, groups, days = zip(*rows, strict=True)
    return pa.table(
        {
            "id": [f"d{number}" for number in ids],
            "source": pa.nulls(len(rows), pa.string()),
            "created_at": pa.array(
                [START + timedelta(days=day) for day in days], pa.timestamp("us", "UTC")
            ),
            "label": pa.array(labels, pa.string()),
            "content": pa.array(
                [digest(f"{content}".encode()) for content in contents], pa.binary()
            ),
            "group": pa.array(groups, pa.string()),
        }
    )


def problem_of(split: dict[str, Any], share: float, *, records: bool = False) -> Problem:
    base = PASSENGERS if records else SMALL_PROBLEM
    content = base | {"source": {"database": "d", "collection": "c"}}
    return Problem.model_validate({**content, "name": "reviews", "split": split, "holdout": share})


def version_of(problem: Problem, snapshots: Snapshots, number: int = 0) -> ModelVersion:
    """Return what a retraining of a snapshot would register."""
    sides = split_documents(snapshots.tables[number], SplitRule.of(problem))
    tags = VersionTags(
        holdout=problem.holdout,
        split=problem.split.by,
        split_field=problem.split.field,
        split_cut=sides.cut,
        feedback="training",
        feedback_documents=0,
        snapshot=(number, snapshots.snapshot(number).digest),
    ).as_tags()
    return ModelVersion("reviews", 1, "run", {TAG + key: value for key, value in tags.items()})


def learned_by(problem: Problem, documents: pa.Table) -> pa.Table:
    sides = split_documents(documents, SplitRule.of(problem))
    return documents.filter(pa.array(sides.training))


def held_out(problem: Problem, documents: pa.Table) -> pa.Table:
    sides = split_documents(documents, SplitRule.of(problem))
    return documents.filter(pa.array(sides.holdout))


documents = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from("ab"),
        st.none() | st.sampled_from([f"c{n}" for n in range(8)]),
        st.integers(0, 30),
    ),
    min_size=2,
    max_size=50,
)
changes = st.lists(st.tuples(st.integers(0, 49), st.integers(0, 60), st.sampled_from("ab")))


@some_examples
@given(
    documents,
    documents,
    changes,
    st.sampled_from(SPLITS),
    st.sampled_from(SPLITS),
    st.floats(0.1, 0.6),
    st.floats(0.1, 0.6),
)
def test_nothing_that_production_has_learned_is_compared_whatever_moved(
    first: list[Any],
    added: list[Any],
    changed: list[Any],
    split_then: dict[str, Any],
    split_now: dict[str, Any],
    share_then: float,
    share_now: float,
) -> None:
    rows = [(number, *row) for number, row in enumerate(first)]
    now = [(number, *row) for number, row in enumerate([*first, *added])]
    for number, content, label in changed:
        if number < len(now):
            # A text was edited, or a label corrected.
            now[number] = (number, content, label, *now[number][3:])
    snapshots = Snapshots(table(rows), table(now))
    records = "document" in (split_then["by"], split_now["by"])
    then = problem_of(split_then, share_then, records=records)
    today = problem_of(split_now, share_now, records=records)
    version, holdout = version_of(then, snapshots), held_out(today, snapshots.tables[1])
    known = learned_by(then, snapshots.tables[0]).to_pylist()

    with snapshots.there():
        mask = unseen_by(today, version, snapshots.snapshot(1), holdout)

    compared = holdout.filter(pa.array(mask)).to_pylist()
    ids, contents = ({row[name] for row in known} for name in ("id", "content"))
    assert not ids & {row["id"] for row in compared}
    # Records that are equal are different cases, unless they are divided by content.
    if not records or split_now["by"] == "content":
        assert not contents & {row["content"] for row in compared}
    if "group" in {split_then["by"], split_now["by"]}:
        groups = {row["group"] for row in known} | {
            row["group"] for row in snapshots.tables[1].to_pylist() if row["id"] in ids
        }
        assert not (groups - {None}) & {row["group"] for row in compared}
    if split_now["by"] == "time" and known:
        newest = max(row["created_at"] for row in known)
        assert all(row["created_at"] > newest for row in compared)


@some_examples
@given(documents, st.sampled_from(SPLITS), st.floats(0.1, 0.6))
def test_where_nothing_has_moved_the_whole_holdout_is_compared(
    made: list[Any], split: dict[str, Any], share: float
) -> None:
    snapshots = Snapshots(table([(number, *row) for number, row in enumerate(made)]))
    problem = problem_of(split, share, records=split["by"] == "document")
    version, holdout = version_of(problem, snapshots), held_out(problem, snapshots.tables[0])

    with snapshots.there():
        mask = unseen_by(problem, version, snapshots.snapshot(0), holdout)
        reference = held_out_by(problem, version, snapshots.snapshot(0), snapshots.tables[0])

    assert mask.all()
    learned = {row["id"] for row in learned_by(problem, snapshots.tables[0]).to_pylist()}
    assert not learned & set(snapshots.tables[0]["id"].filter(pa.array(reference)).to_pylist())


@some_examples
@given(documents, st.sampled_from(SPLITS), st.sampled_from(SPLITS), st.floats(0.1, 0.6))
def test_without_its_snapshot_a_version_may_have_learned_all_that_its_rules_allow(
    made: list[Any], split_then: dict[str, Any], split_now: dict[str, Any], share: float
) -> None:
    # What rules alone do not say: copies, and labels that were added to a side.
    rows = [(n, n, "ab"[n % 2], group, day) for n, (_, _, group, day) in enumerate(made * 4)]
    snapshots = Snapshots(table(rows))
    records = "document" in (split_then["by"], split_now["by"])
    then = problem_of(split_then, share, records=records)
    today = problem_of(split_now, 0.3, records=records)
    version, holdout = version_of(then, snapshots), held_out(today, snapshots.tables[0])
    sides = split_documents(snapshots.tables[0], SplitRule.of(then))
    known = learned_by(then, snapshots.tables[0])
    gone = ModelVersion("reviews", 1, "run", {**version.tags, f"{TAG}snapshot_version": "7"})

    with snapshots.there():
        told = unseen_by(today, version, snapshots.snapshot(0), holdout)
        guessed = unseen_by(today, gone, snapshots.snapshot(0), holdout)

    if not sides.added:
        assert not (guessed & ~told).any()
        compared = set(holdout["id"].filter(pa.array(guessed)).to_pylist())
        assert not set(known["id"].to_pylist()) & compared


def test_a_version_of_the_time_before_there_was_a_choice_has_its_holdout_by_content() -> None:
    snapshots = Snapshots(table([(n, n, "ab"[n % 2], None, 0) for n in range(200)]))
    problem = problem_of({"by": "content"}, 0.2)
    holdout = held_out(problem, snapshots.tables[0])
    tags = {"holdout": "0.1", "snapshot_version": "0", "snapshot_digest": f"{0:032}"}
    old = ModelVersion("reviews", 1, "run", {TAG + key: value for key, value in tags.items()})

    with snapshots.there():
        mask = unseen_by(problem, old, snapshots.snapshot(0), holdout)

    smaller = held_out(problem_of({"by": "content"}, 0.1), snapshots.tables[0])
    assert holdout["id"].filter(pa.array(mask)).to_pylist() == smaller["id"].to_pylist()
    assert 0 < mask.sum() < len(mask)


def test_a_split_that_nobody_knows_is_no_reason_to_compare_on_what_may_be_known() -> None:
    snapshots = Snapshots(table([(n, n, "ab"[n % 2], None, 0) for n in range(200)]))
    problem = problem_of({"by": "content"}, 0.2)
    version = version_of(problem, snapshots)
    edited = ModelVersion("reviews", 1, "run", {**version.tags, f"{TAG}split": "by moon"})

    with snapshots.there():
        mask = unseen_by(
            problem, edited, snapshots.snapshot(0), held_out(problem, snapshots.tables[0])
        )

    assert not mask.any()


def test_near_copies_of_what_production_knows_are_not_compared() -> None:
    first = table([(n, n, "ab"[n % 2], None, 0) for n in range(200)])
    problem = problem_of({"by": "content"}, 0.2)
    second = table([(n, n, "ab"[n % 2], None, 0) for n in range(300)])
    # Each new document is a near-copy of an old one, which stands for both.
    stands = pa.array([digest(f"{n % 200}".encode()) for n in range(300)], pa.binary())
    other = problem_of({"by": "content"}, 0.5)
    snapshots = Snapshots(first, second.append_column("representative", stands))
    version, holdout = version_of(problem, snapshots), held_out(other, snapshots.tables[1])

    with snapshots.there():
        mask = unseen_by(other, version, snapshots.snapshot(1), holdout)

    known = set(learned_by(problem, first)["content"].to_pylist())
    assert mask.any()
    assert not known & set(holdout["representative"].filter(pa.array(mask)).to_pylist())
    assert np.array_equal(
        mask, [value not in known for value in holdout["representative"].to_pylist()]
    )
