"""A MongoDB with users, for what happens when a password is wrong or changes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.conftest import free_port, wait_until

_KEEPER, _KEEPERS_PASSWORD = "keeper", "of-the-users"


@dataclass(frozen=True)
class Guarded:
    """A server that lets in nobody without a password."""

    port: int

    def uri(self, user: str, password: str, host: str = "127.0.0.1") -> str:
        """The address with which a user connects."""
        return f"mongodb://{user}:{password}@{host}:{self.port}/?directConnection=true"

    def change_password(self, user: str, password: str) -> None:
        """Give a user another password, as the keeper of the users does."""
        with MongoClient(self.uri(_KEEPER, _KEEPERS_PASSWORD)) as server:
            server.admin.command("updateUser", user, pwd=password)


@contextmanager
def guarded_mongodb(
    folder: Path, *, host: str = "127.0.0.1", **passwords: str
) -> Iterator[Guarded]:
    """Run SecantusDB, which speaks MongoDB's protocol and SCRAM, with these users.

    It listens on `host` as soon as it asks for passwords.
    """
    beside = Path(sys.executable).with_name("secantusd-py")
    program = str(beside) if beside.exists() else shutil.which("secantusd-py")
    if program is None:
        pytest.skip("secantusdb is not installed")
    port = free_port()
    command = [program, "--port", str(port), "--storage-path", str(folder)]
    open_to_all = f"mongodb://127.0.0.1:{port}/?directConnection=true"

    def answers() -> bool:
        try:
            with MongoClient(open_to_all, serverSelectionTimeoutMS=500) as server:
                server.admin.command("hello")
        except PyMongoError:
            return False
        return True

    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([*command, "--host", "127.0.0.1"], **quiet)
    try:
        wait_until(answers, "the server without users answers")
        with MongoClient(open_to_all) as connection:
            for user, password in {_KEEPER: _KEEPERS_PASSWORD, **passwords}.items():
                connection.admin.command("createUser", user, pwd=password, roles=["root"])
        server.terminate()
        server.wait(timeout=60)
        server = subprocess.Popen([*command, "--host", host, "--auth"], **quiet)
        wait_until(answers, "the server with users answers")
        yield Guarded(port)
    finally:
        server.kill()
        server.wait()
