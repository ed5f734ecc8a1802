"""Clients that look at every answer, where wrk only counts them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=20)


@dataclass(frozen=True)
class Seen:
    """One request: when it was sent and answered, its status, and which versions answered."""

    sent: float
    answered: float
    status: int
    versions: frozenset[int]
    labels: tuple[str, ...]

    @property
    def milliseconds(self) -> float:
        """How long the answer took."""
        return (self.answered - self.sent) * 1000


def ask_for(url: str, texts: Sequence[str], *, connections: int, seconds: float) -> list[Seen]:
    """Ask two texts at a time over some connections for some seconds; 0 is no answer at all."""
    return asyncio.run(_ask(url, texts, connections, time.time() + seconds, most=None))


def ask_times(url: str, texts: Sequence[str], *, connections: int, times: int) -> list[Seen]:
    """Ask so many times."""
    return asyncio.run(_ask(url, texts, connections, float("inf"), most=times))


async def _ask(
    url: str, texts: Sequence[str], connections: int, until: float, most: int | None
) -> list[Seen]:
    pairs = itertools.cycle(zip(texts, [*texts[1:], texts[0]], strict=True))
    requests = pairs if most is None else itertools.islice(pairs, most)
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
        workers = [_work(session, url, requests, until) for _ in range(connections)]
        return list(itertools.chain.from_iterable(await asyncio.gather(*workers)))


async def _work(
    session: aiohttp.ClientSession, url: str, requests: Iterator[tuple[str, str]], until: float
) -> list[Seen]:
    seen = []
    for pair in requests:
        if time.time() >= until:
            break
        seen.append(await _one(session, url, pair))
    return seen


async def _one(session: aiohttp.ClientSession, url: str, pair: tuple[str, str]) -> Seen:
    sent = time.time()
    try:
        async with session.post(url, json={"inputs": pair}) as answer:
            found = await answer.json()
    except (aiohttp.ClientError, TimeoutError):
        return Seen(sent, time.time(), 0, frozenset(), ())
    predictions = found.get("predictions", [])
    return Seen(
        sent,
        time.time(),
        answer.status,
        frozenset(p["version"] for p in predictions),
        tuple(p["label"] for p in predictions),
    )
