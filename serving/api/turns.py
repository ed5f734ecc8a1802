"""Turns at the work on large requests: one at a time, and fair between clients."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter

# Clients that wait for nothing are remembered as long as something is worked on, and no more.
_MOST_REMEMBERED = 10_000


class Turns:
    """Turns of one worker, of which each client gets the same time however much it asks for.

    A turn is paid with the seconds that it has taken, and the next one goes to the client that has
    paid least since it came (start-time fair queueing: Goyal, Vin and Cheng, Start-time Fair
    Queuing, SIGCOMM 1996). Turns of one client come in the order in which they were asked for.
    One event loop uses it.

    Parameters
    ----------
    clock : callable
        Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._paid: dict[str, float] = {}
        self._now = 0.0
        self._is_taken = False

    @asynccontextmanager
    async def take(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn, and give it back at the end.

        Parameters
        ----------
        client : str
            Who asks for it.
        """
        await self._wait(client)
        begin = self._clock()
        try:
            yield
        finally:
            paid = self._paid.get(client, self._now)
            self._paid[client] = paid + self._clock() - begin
            self._pass_on()

    async def _wait(self, client: str) -> None:
        if client not in self._waiting:
            # Nobody saves up time in which nothing was asked for.
            self._paid[client] = max(self._paid.get(client, 0.0), self._now)
        if not self._is_taken:
            self._is_taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give the turn to whoever has paid least of those that wait, or to nobody."""
        while self._waiting:
            client = min(self._waiting, key=self._paid.__getitem__)
            turns = self._waiting[client]
            turn = turns.popleft()
            if not turns:
                del self._waiting[client]
            if not turn.done():
                self._now = self._paid[client]
                self._forget()
                turn.set_result(None)
                return
        self._is_taken, self._now = False, 0.0
        self._paid.clear()

    def _forget(self) -> None:
        if len(self._paid) > _MOST_REMEMBERED:
            self._paid = {
                client: paid
                for client, paid in self._paid.items()
                if client in self._waiting or paid > self._now
            }
            idle = [client for client in self._paid if client not in self._waiting]
            for client in idle[: len(self._paid) - _MOST_REMEMBERED]:
                del self._paid[client]
