"""The history of Production: complete, in order, and free of what never happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from perennial.registry.history import Change, Kind, Note, following, happened, way_back, written
from tests.perennial.examples import many_examples

# A change that is asked for, and whether the process lives until the alias has moved.
_STEPS = st.lists(
    st.tuples(st.sampled_from(["promotion", "rollback"]), st.integers(1, 6), st.booleans()),
    max_size=12,
)


def change(kind: Kind, before: int | None, after: int, **note: str) -> Change:
    return following((), kind, before, after, Note(**note))


def history(*steps: tuple[Kind, int | None, int]) -> tuple[Change, ...]:
    changes: tuple[Change, ...] = ()
    for kind, before, after in steps:
        changes = (*changes, following(changes, kind, before, after, Note()))
    return changes


@many_examples
@given(_STEPS)
def test_exactly_the_changes_that_happened_are_read_whichever_process_ended_half_way(
    steps: list[tuple[Kind, int, bool]],
) -> None:
    production: int | None = None
    recorded: tuple[Change, ...] = ()
    done = []
    for kind, after, lives in steps:
        if after == production:
            continue
        made = following(recorded, kind, production, after, Note())
        recorded = (*recorded, made)
        if lives:
            production = after
            done.append(made)

    assert list(happened(recorded, production)) == done


@many_examples
@given(_STEPS)
def test_changes_are_kept_in_tags_and_come_back_in_their_order(
    steps: list[tuple[Kind, int, bool]],
) -> None:
    recorded = history(*((kind, None, after) for kind, after, _ in steps))

    tags = dict(sorted((c.tag for c in recorded), reverse=True)) | {"perennial.other": "x"}

    assert written(tags) == recorded


def test_a_clock_that_is_behind_does_not_change_the_order() -> None:
    ahead = Change(
        at=datetime.now(UTC) + timedelta(hours=1), kind="promotion", before=None, after=1
    )

    later = following((ahead,), "rollback", 1, 2, Note())

    assert later.at > ahead.at


def test_a_tag_fits_into_the_databases_of_mlflow_however_long_the_reason() -> None:
    key, value = change("rollback", 2, 1, why="weil \u00fc" * 1000, by="a" * 2000).tag

    assert len(value) < 5000
    assert len(key) <= 250
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789.:-TZ")


def test_a_damaged_tag_hides_no_other_change() -> None:
    sound = change("promotion", None, 1)

    assert written({"perennial.history.x": "{", sound.tag[0]: sound.tag[1]}) == (sound,)


def test_after_promotions_the_way_back_leads_through_them_in_turn() -> None:
    changes = history(("promotion", None, 1), ("promotion", 1, 2), ("promotion", 2, 3))

    assert way_back(changes, 3) == (2, 1)


def test_a_version_that_was_rolled_back_is_not_on_the_way_back() -> None:
    changes = history(("promotion", None, 1), ("promotion", 1, 2), ("rollback", 2, 1))

    assert way_back(changes, 1) == ()
    assert way_back((*changes, change("promotion", 1, 3)), 3) == (1,)


def test_a_rollback_to_an_older_version_that_never_was_production_keeps_the_earlier_way() -> None:
    changes = history(("promotion", None, 1), ("promotion", 1, 3), ("rollback", 3, 2))

    assert way_back(changes, 2) == (1,)


def test_who_goes_forward_again_can_go_back_again() -> None:
    changes = history(
        ("promotion", None, 1), ("promotion", 1, 2), ("rollback", 2, 1), ("rollback", 1, 2)
    )

    assert way_back(changes, 2) == (1,)


def test_a_version_that_was_named_by_other_means_is_on_the_way_back() -> None:
    changes = history(("promotion", None, 1), ("promotion", 4, 5))

    assert way_back(changes, 5) == (4, 1)
    assert way_back(changes[:1], 7) == (1,)
