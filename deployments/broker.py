"""How the Prefect server of ``make up`` hands on its events: in memory, and patiently.

Prefect's own broker gives an event up after four tries within milliseconds when the database is
locked. SQLite has one writer at a time, and a transaction that has read before does not wait for
it. On a busy machine events are lost so, and with them what should have followed: a crashed run is
not started again, people are not told. This broker tries again for a minute; Prefect's server finds
it by ``PREFECT_SERVER_EVENTS_MESSAGING_BROKER``.
"""

from __future__ import annotations

import asyncio
from functools import partial

from prefect.server.utilities.messaging import Message, MessageHandler, memory
from prefect.server.utilities.messaging.memory import (
    Publisher,
    break_topic,
    ephemeral_subscription,
)
from sqlalchemy.exc import OperationalError

__all__ = ["Consumer", "Publisher", "break_topic", "ephemeral_subscription"]

# Seconds, between the tries.
_PAUSES = (0.05, 0.1, 0.2, 0.5, *[1.0] * 60)


class Consumer(memory.Consumer):
    """Gives each message to a handler, again while the database is locked."""

    async def run(self, handler: MessageHandler) -> None:
        """Handle messages until the task is cancelled."""
        await super().run(partial(_handle, handler))


async def _handle(handler: MessageHandler, message: Message) -> None:
    for pause in _PAUSES:
        try:
            await handler(message)
        except OperationalError:
            await asyncio.sleep(pause)
        else:
            return
    await handler(message)
