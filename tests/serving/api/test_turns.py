"""Turns at large requests are shared out by time: who asks for more keeps nobody waiting longer."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.api.turns import Turns

SECONDS = st.integers(1, 50)


class Clock:
    """A clock that moves when a turn is worked on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _work(requests: list[tuple[str, list[int]]]) -> list[tuple[str, int]]:
    """Let clients ask for turns that take so long, all at once; return the turns in their order."""
    clock, worked = Clock(), list[tuple[str, int]]()
    turns = Turns(clock)

    async def ask(client: str, seconds: list[int]) -> None:
        for each in seconds:
            async with turns.take(client):
                clock.now += each
                worked.append((client, each))
                await asyncio.sleep(0)

    async def run() -> None:
        await asyncio.gather(*(ask(*each) for each in requests))

    asyncio.run(run())
    return worked


@given(st.lists(st.tuples(st.sampled_from("abc"), st.lists(SECONDS, max_size=12)), max_size=9))
def test_every_turn_that_is_asked_for_comes_exactly_once(
    requests: list[tuple[str, list[int]]],
) -> None:
    wanted = Counter((client, each) for client, seconds in requests for each in seconds)

    assert Counter(_work(requests)) == wanted


@given(
    st.lists(SECONDS, min_size=1, max_size=20),
    st.lists(st.lists(SECONDS, min_size=1, max_size=20), min_size=1, max_size=8),
)
def test_clients_that_keep_asking_get_the_same_time_however_many_requests_they_have(
    few: list[int], many: list[list[int]]
) -> None:
    worked = _work([("few", few), *(("many", seconds) for seconds in many)])

    longest = max(*few, *(each for seconds in many for each in seconds))
    got, left = Counter[str](), Counter(few=len(few), many=sum(map(len, many)))
    for client, seconds in worked:
        got[client] += seconds
        left[client] -= 1
        if min(left.values()) > 0:
            assert abs(got["few"] - got["many"]) <= 2 * longest


def test_one_explanation_waits_for_one_of_those_of_a_client_that_asks_for_hundreds() -> None:
    worked = _work([*[("busy", [1])] * 300, ("other", [1])])

    assert worked.index(("other", 1)) <= 2


def test_who_has_waited_for_nothing_has_saved_up_nothing() -> None:
    clock = Clock()
    turns = Turns(clock)
    worked = []

    async def ask(client: str, count: int) -> None:
        for _ in range(count):
            async with turns.take(client):
                clock.now += 1
                worked.append(client)
                await asyncio.sleep(0)

    async def run() -> None:
        first = asyncio.create_task(ask("first", 30))
        while len(worked) < 20:
            await asyncio.sleep(0)
        await asyncio.gather(first, ask("late", 10))

    asyncio.run(run())
    # From then on both take turns: the late one does not get its ten at once.
    assert Counter(worked[20:30]) in ({"late": 5, "first": 5}, {"late": 6, "first": 4})


@pytest.mark.parametrize("when", ["waiting", "granted"])
def test_a_client_that_goes_away_takes_no_turn_along(when: str) -> None:
    turns = Turns()

    async def run() -> Any:
        async with turns.take("first"):
            leaving = asyncio.create_task(_hold(turns, "leaving"))
            staying = asyncio.create_task(_hold(turns, "staying"))
            await asyncio.sleep(0)
            if when == "waiting":
                leaving.cancel()
                await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait_for(staying, 5)
        async with asyncio.timeout(5), turns.take("next"):
            return leaving.cancelled()

    assert asyncio.run(run())


async def _hold(turns: Turns, client: str) -> None:
    async with turns.take(client):
        await asyncio.sleep(0)


def test_a_failure_gives_the_turn_back() -> None:
    turns = Turns()

    async def run() -> None:
        with pytest.raises(ZeroDivisionError):
            async with turns.take("one"):
                raise ZeroDivisionError
        async with asyncio.timeout(5), turns.take("two"):
            pass

    asyncio.run(run())


def test_the_clients_of_a_long_day_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.api.turns._MOST_REMEMBERED", 10)
    turns = Turns(Clock())

    async def run() -> int:
        # Somebody always waits, so that the work never ends.
        pending: list[asyncio.Task[None]] = []
        most = 0
        for number in range(500):
            pending.append(asyncio.create_task(_hold(turns, f"client {number}")))
            await asyncio.sleep(0)
            most = max(most, len(turns._paid) - len(turns._waiting))
        await asyncio.gather(*pending)
        return most

    assert asyncio.run(run()) <= 12
