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

from sqlalchemy.exc import OperationalError

from perennial.packages.private_parts import PrivatePart

_MEMORY = "prefect.server.utilities.messaging.memory"
PARTS = (
    PrivatePart("prefect", _MEMORY, "Consumer.run", ("self", "handler")),
    PrivatePart("prefect", _MEMORY, "Publisher.publish_data", ("self", "data", "attributes")),
    PrivatePart("prefect", _MEMORY, "ephemeral_subscription", ("topic",)),
    PrivatePart("prefect", _MEMORY, "break_topic", ()),
)
for part in PARTS:
    part.require()

# What is imported from here on has been checked.
from prefect.server.utilities.messaging import Message, MessageHandler, memory  # noqa: E402
from prefect.server.utilities.messaging.memory import (  # noqa: E402
    Publisher,
    break_topic,
    ephemeral_subscription,
)

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
