"""A dotted name is a path, for whoever reads a document and whoever writes one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import paths

names = st.text("ab$ é", min_size=1, max_size=2)
dotted = st.lists(names, min_size=1, max_size=3).map(".".join)


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"a": {"b": {"c": 1}}}, 1),
        ({"a.b.c": 1, "a": {"b": {"c": 2}}}, 1),
        ({"a": {"b.c": 1}}, 1),
        ({"a": {"b": {"c": None}}}, None),
        ({"a": {"b": {}}}, paths.MISSING),
        ({"a": {"b": 5}}, paths.MISSING),
        ({"a": {"b": [{"c": 1}]}}, paths.MISSING),
        ({"a": [{"b": {"c": 1}}]}, paths.MISSING),
        ({}, paths.MISSING),
    ],
)
def test_a_path_leads_through_objects_and_a_key_of_the_whole_name_comes_first(
    document: dict[str, Any], found: object
) -> None:
    assert paths.read(document, "a.b.c") == found


def test_a_list_on_the_way_is_noticed_and_one_at_the_end_is_none_on_the_way() -> None:
    assert paths.leads_into_list({"a": [{"b": 1}]}, "a.b")
    assert not paths.leads_into_list({"a": {"b": [1]}}, "a.b")
    assert not paths.leads_into_list({}, "a.b")


@given(st.dictionaries(dotted, st.integers(), max_size=4))
def test_what_is_written_at_paths_is_read_there(values: dict[str, int]) -> None:
    if paths.collision(values) is not None:
        return
    document = paths.nest(values)

    assert {path: paths.read(document, path) for path in values} == values
    assert {name.partition(".")[0] for name in values} == set(document)


@given(st.lists(dotted, max_size=5))
def test_the_outermost_paths_lead_to_every_one_and_none_into_another(wanted: list[str]) -> None:
    outer = paths.outermost(wanted)

    assert paths.collision(outer) is None
    assert all(
        any(path == each or path.startswith(f"{each}.") for each in outer) for path in wanted
    )


@pytest.mark.parametrize(
    ("given_paths", "found"),
    [
        (["a", "b"], None),
        (["ab", "a"], None),
        (["a.b", "a.bc"], None),
        (["a.b", "a"], ("a", "a.b")),
        (["a", "x", "a.b.c"], ("a", "a.b.c")),
        (["a", "a"], ("a", "a")),
    ],
)
def test_paths_of_which_one_leads_into_another_collide(
    given_paths: list[str], found: tuple[str, str] | None
) -> None:
    assert paths.collision(given_paths) == found
