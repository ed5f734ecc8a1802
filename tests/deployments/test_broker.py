"""No event of the Prefect server of `make up` is lost because its database is busy."""

from __future__ import annotations

import asyncio
import importlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

import pytest
from prefect.server.utilities.messaging import Message, create_consumer, create_publisher
from prefect.settings import PREFECT_MESSAGING_BROKER, temporary_settings
from sqlalchemy.exc import OperationalError

import deployments.broker
from deployments.broker import PARTS
from deployments.processes import processes
from perennial.errors import OutsideError
from perennial.packages.private_parts import PrivatePart
from perennial.settings import OperationSettings, ServingSettings, Settings

_TRIES_OF_PREFECT = 4
_LIMIT = 30.0


@pytest.fixture(autouse=True)
def broker() -> Iterator[None]:
    """The broker that `make up` says to its Prefect server."""
    (prefect,) = (
        row
        for row in processes(Settings(), OperationSettings(), ServingSettings())
        if row.name == "prefect"
    )
    name = prefect.environment["PREFECT_SERVER_EVENTS_MESSAGING_BROKER"]
    with temporary_settings({PREFECT_MESSAGING_BROKER: name}):
        yield


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database as that of the server: readers go on beside one writer."""
    file = tmp_path / "prefect.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE seen (id TEXT)")
    return file


def _read_then_write(database: Path, event: str) -> None:
    """Do what Prefect does with an event, which SQLite refuses at once while another writes."""
    with closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
        connection.execute("BEGIN DEFERRED")
        connection.execute("SELECT count(*) FROM seen").fetchone()
        try:
            connection.execute("INSERT INTO seen VALUES (?)", (event,))
        except sqlite3.OperationalError as error:
            raise OperationalError("INSERT", {}, error) from error
        connection.execute("COMMIT")


def test_an_event_waits_until_the_database_is_free(database: Path) -> None:
    tries = 0

    async def run() -> None:
        writer = sqlite3.connect(database, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        done = asyncio.Event()

        async def handle(message: Message) -> None:
            nonlocal tries
            tries += 1
            if tries == _TRIES_OF_PREFECT + 2:
                writer.execute("COMMIT")
            _read_then_write(database, bytes(message.data).decode())
            done.set()

        consuming = asyncio.create_task(create_consumer("events").run(handle))
        await asyncio.sleep(0)
        await create_publisher("events").publish_data(b"crashed", {})
        await asyncio.wait_for(done.wait(), _LIMIT)
        consuming.cancel()
        with suppress(asyncio.CancelledError):
            await consuming
        writer.close()

    asyncio.run(run())

    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT id FROM seen").fetchall() == [("crashed",)]
    assert tries == _TRIES_OF_PREFECT + 2


@pytest.mark.parametrize("part", PARTS, ids=[part.name for part in PARTS])
def test_a_prefect_whose_broker_is_another_one_is_refused(
    part: PrivatePart, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _, name = f"{part.module}.{part.name}".rpartition(".")

    def other(_one: object, _more: object, _third: object, _fourth: object) -> None:
        """Take other parameters than any part of the broker."""

    monkeypatch.setattr(f"{owner}.{name}", other)

    with pytest.raises(OutsideError, match=rf"^prefect {version('prefect')} .*{part.name} takes"):
        importlib.reload(deployments.broker)
