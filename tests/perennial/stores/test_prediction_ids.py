"""Prediction ids: whoever has one has been given it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.stores import prediction_ids, signing_key
from perennial.stores.prediction_ids import PredictionIds

IDS = PredictionIds([b"the service's key"])
ISSUED = [
    *IDS.issue("reviews", 1, 3, logged=True),
    *IDS.issue("reviews", 12, 1, logged=False),
    *IDS.issue("iris", 1, 2, logged=True),
]
COUNTS = st.integers(1, 300)


@given(
    problem=st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True),
    version=st.integers(1, 10**9 - 1),
    count=COUNTS,
    logged=st.booleans(),
)
def test_what_was_issued_is_read_as_it_was_issued(
    problem: str, version: int, count: int, logged: bool
) -> None:
    issued = IDS.issue(problem, version, count, logged=logged)

    assert len(set(issued)) == count
    for each in (issued[0], issued[-1]):
        found = IDS.read(each)
        assert found is not None
        assert (found.problem, found.version, found.is_logged) == (problem, version, logged)
        assert abs(found.at - prediction_ids.time()) < 60


@given(
    st.one_of(
        st.text(),
        st.from_regex(r"reviews\.1\.[0-9a-f]{50}", fullmatch=True),
        st.from_regex(r"reviews\.\d\.\d{50}", fullmatch=True),
    )
)
def test_no_id_that_was_not_issued_is_taken(invented: str) -> None:
    assert invented in ISSUED or IDS.read(invented) is None


@given(st.sampled_from(ISSUED), st.data())
def test_no_id_stays_valid_when_a_part_of_it_is_changed(issued: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(issued) - 1))
    other = data.draw(st.characters())
    changed = issued[:place] + other + issued[place + 1 :]

    assert changed in ISSUED or IDS.read(changed) is None


@given(COUNTS, st.integers(0, 2**20 - 1))
def test_a_request_has_no_more_ids_than_inputs(count: int, position: int) -> None:
    first = IDS.issue("reviews", 1, count, logged=True)[0]

    found = IDS.read(f"{first[:-5]}{position:05x}")

    assert (found is not None) == (position < count)


@pytest.mark.parametrize("change", [str.upper, lambda one: one + "\n", lambda one: " " + one])
def test_an_id_has_one_way_to_be_written(change: object) -> None:
    assert callable(change)
    assert IDS.read(change(ISSUED[0])) is None


def test_an_id_of_another_key_is_taken_only_by_who_knows_that_key() -> None:
    (issued,) = PredictionIds([b"new", b"old"]).issue("reviews", 1, 1, logged=True)

    assert PredictionIds([b"old"]).read(issued) is None
    assert PredictionIds([b"old", b"new"]).read(issued) is not None


def test_keys_of_different_purposes_differ_and_a_sender_depends_on_the_secret() -> None:
    one, other = b"one secret", b"another secret"

    assert signing_key.derive(one) != signing_key.derive(other)
    assert signing_key.sender(one, "a" * 64) == signing_key.sender(one, "a" * 64)
    digests = {signing_key.sender(key, hashed * 64) for key in (one, other) for hashed in "ab"}
    assert len(digests) == 4


def test_workers_of_a_machine_agree_on_the_key_that_is_kept_there(tmp_path: object) -> None:
    from pathlib import Path

    file = Path(str(tmp_path)) / "serving" / "signing-key"

    keys = {signing_key.kept_on_machine(file) for _ in range(3)}

    assert keys == {file.read_bytes()}
    assert file.stat().st_mode & 0o777 == 0o600
