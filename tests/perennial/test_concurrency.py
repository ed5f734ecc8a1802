"""Working ahead changes when values are made, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.concurrency import ahead, beside

LIMIT = 10.0


@given(st.lists(st.none() | st.integers()))
def test_the_values_come_as_they_are_and_in_order(values: list[int | None]) -> None:
    assert list(ahead(values)) == values


def test_the_next_value_is_made_while_the_caller_has_this_one() -> None:
    made = Event()

    def values() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    found = ahead(values())
    assert next(found) == 1
    assert made.wait(LIMIT)
    assert list(found) == [2]


def test_an_error_in_making_a_value_reaches_the_caller_in_its_place() -> None:
    def values() -> Iterator[int]:
        yield 1
        raise OSError("the server is gone")

    found = ahead(values())
    assert next(found) == 1
    with pytest.raises(OSError, match="the server is gone"):
        next(found)


def test_no_more_than_one_value_is_made_ahead() -> None:
    made: list[int] = []

    def values() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    found = ahead(values())
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert len(made) <= 2


def test_work_is_done_while_the_block_runs_and_is_over_at_its_end() -> None:
    begun, go_on = Event(), Event()
    done: list[bool] = []

    def work() -> None:
        begun.set()
        done.append(go_on.wait(LIMIT))

    with beside(work):
        assert begun.wait(LIMIT)
        assert not done
        go_on.set()
    assert done == [True]


def test_an_error_in_the_work_beside_is_raised_at_the_end_of_the_block() -> None:
    def work() -> None:
        raise OSError("no such library")

    reached = False
    with pytest.raises(OSError, match="no such library"), beside(work):
        reached = True
    assert reached
