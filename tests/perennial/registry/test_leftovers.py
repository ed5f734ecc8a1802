"""Leftovers: what is needed is never among them, whatever there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.registry.leftovers import PastRun, expendable_runs, needed_versions
from perennial.registry.model_version import ModelVersion
from tests.perennial.examples import many_examples

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LIMIT = NOW - timedelta(days=90)


def version(number: int, **tags: str) -> ModelVersion:
    written = {f"perennial.{key.replace('_', '-')}": value for key, value in tags.items()}
    return ModelVersion("reviews", number, f"run-{number}", written)


def run(name: str, days: float, kind: str | None = "retrain", parent: str | None = None) -> PastRun:
    return PastRun(name, kind, parent, NOW - timedelta(days=days), is_running=False)


def removed(*runs: PastRun, needed: set[str] | None = None) -> list[str]:
    found = expendable_runs(runs, needed=needed or set(), since=LIMIT)
    return [each.run_id for each in found]


@pytest.mark.parametrize(
    ("old", "reason"),
    [
        (version(1, keep="for the audit"), "the tag perennial.keep"),
        (version(1, verdict="waiting"), "an open question"),
        (version(1, rolled_back="wrong"), "a rollback"),
    ],
)
def test_an_old_version_is_kept_for_what_its_tags_say(old: ModelVersion, reason: str) -> None:
    new = [version(number) for number in (2, 3)]

    kept = needed_versions([old, *new], aliased=(), line=(), newest=2)

    assert kept == {1: reason, 2: "among the newest", 3: "among the newest"}


def test_the_version_below_which_others_may_not_sink_is_kept() -> None:
    versions = [version(1), version(2), version(3, **{"verdict.anchor": "1"})]

    assert needed_versions(versions, aliased={3}, line=(), newest=2) == {
        1: "an anchor",
        2: "among the newest",
        3: "an alias",
    }


numbers = st.sets(st.integers(1, 40))


@given(there=numbers, aliased=numbers, line=numbers, newest=st.integers(1, 10))
@many_examples
def test_what_an_alias_names_or_was_production_or_is_among_the_newest_is_kept(
    there: set[int], aliased: set[int], line: set[int], newest: int
) -> None:
    versions = [version(number) for number in there]

    kept = set(needed_versions(versions, aliased=aliased, line=line, newest=newest))

    assert kept == there & (aliased | line | set(sorted(there)[-newest:]))


def test_an_old_run_goes_with_all_that_is_below_it_the_lowest_first() -> None:
    found = removed(
        run("old", 200),
        run("part", 200, "candidate", "old"),
        run("part of the part", 200, "candidate", "part"),
        run("new", 1),
        run("new part", 1, "candidate", "new"),
    )

    assert found == ["part of the part", "part", "old"]


def test_a_run_is_kept_while_one_above_or_below_it_is_needed_or_young_or_running() -> None:
    still = PastRun("still", "candidate", "c", NOW - timedelta(days=200), is_running=True)

    assert (
        removed(
            run("a", 200),
            run("made the version", 200, "candidate", "a"),
            run("b", 200),
            run("young", 10, "candidate", "b"),
            run("c", 200),
            still,
            run("newest", 0),
            needed={"made the version"},
        )
        == []
    )


def test_the_newest_run_of_each_kind_stays_and_runs_of_other_programs_do() -> None:
    found = removed(
        run("first look", 300, "monitor"),
        run("last look", 200, "monitor"),
        run("a notebook", 400, None),
        run("last", 250),
    )

    assert found == ["first look"]


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.none() | st.integers(0, 19), st.booleans()), max_size=20
    ),
    st.sets(st.integers(0, 19)),
)
@many_examples
def test_no_needed_or_young_run_is_ever_removed_nor_a_part_without_its_whole(
    made: list[tuple[int, int | None, bool]], needed: set[int]
) -> None:
    # A run is part of an earlier one at most.
    parents = [
        None if parent is None or parent >= place else str(parent)
        for place, (_, parent, _) in enumerate(made)
    ]
    runs = [
        PastRun(str(place), "retrain", parents[place], NOW - timedelta(days=days), is_running)
        for place, (days, _, is_running) in enumerate(made)
    ]

    found = removed(*runs, needed=set(map(str, needed)))

    by_name = {each.run_id: each for each in runs}
    for name in found:
        assert name not in set(map(str, needed))
        assert by_name[name].started < LIMIT
        assert not by_name[name].is_running
    parts = [each for each in runs if each.parent is not None]
    assert all((each.run_id in found) == (each.parent in found) for each in parts)
