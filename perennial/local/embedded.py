"""The embedded servers: started when a process needs one, gone when none does any more.

On a machine without servers two programs stand in for the real ones, each a process of its own that
is talked to over a socket, exactly as the real one: SecantusDB for MongoDB Atlas, and Prefect's own
API server. Processes that use a server share a lock on a file. A small supervisor runs the server,
and ends it when nobody holds that lock. The operating system releases the locks of a process that
is killed, so no server is left behind.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from perennial.errors import OutsideError
from perennial.local.python import python_environment
from perennial.settings import Settings

Name = Literal["mongodb", "prefect"]

# In the environment of what another program ends together with all that it has started; an embedded
# server is not among that.
STARTED_BY = "PERENNIAL_STARTED_BY"
_START_SECONDS = 120.0
_POLL_SECONDS = 0.05
_SUPERVISE_SECONDS = 1.0
# A server that ends sooner cannot run here.
_STABLE_SECONDS = 5.0
_END_SECONDS, _END_TRIES = 15.0, 2


@dataclass(frozen=True)
class _Program:
    """How one server is run: its arguments for a home folder and a port, and its environment."""

    arguments: Callable[[Path, int], list[str]]
    environment: Callable[[Path], Mapping[str, str]]


@contextmanager
def server(settings: Settings, name: Name) -> Iterator[int]:
    """Yield the port on 127.0.0.1 of an embedded server, which answers throughout the block.

    Raises
    ------
    OutsideError
        If the server is not installed or does not start.
    """
    with starting(settings, name):
        yield _wait(_home(settings, name), name)


@contextmanager
def starting(settings: Settings, name: Name) -> Iterator[None]:
    """Keep a server running during the block, without waiting until it answers."""
    home = _home(settings, name)
    with (home / "users.lock").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        _ensure_started(settings, home, name)
        yield


def is_running(settings: Settings, name: Name) -> bool:
    """Return whether an embedded server runs, for whatever process."""
    return _is_running(_home(settings, name))


def _home(settings: Settings, name: Name) -> Path:
    home = settings.data_dir.absolute() / name
    home.mkdir(parents=True, exist_ok=True)
    return home


def _ensure_started(settings: Settings, home: Path, name: Name) -> None:
    with (home / "start.lock").open("a") as start, (home / "running.lock").open("a") as running:
        fcntl.flock(start, fcntl.LOCK_EX)
        if not _try_lock(running):
            if _port(home) is not None:
                return
            # A server without a port is ending; its files are free when it has let go of the lock.
            fcntl.flock(running, fcntl.LOCK_EX)
        port = _free_port(home)
        command = [
            sys.executable,
            "-m",
            "perennial.local.embedded",
            name,
            str(home),
            str(port),
            str(running.fileno()),
        ]
        with (home / "server.log").open("a") as log:
            # The supervisor inherits the lock on running.lock and so keeps it.
            subprocess.Popen(
                command,
                cwd=home,
                env=_unmarked(python_environment(settings)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[running.fileno()],
            )
        for file in ("port", "last_port"):
            (home / file).write_text(str(port))


def _unmarked(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name != STARTED_BY}


def _wait(home: Path, name: Name) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        port = _port(home)
        if port is None or not _is_running(home):
            break
        if _answers(port):
            return port
        time.sleep(_POLL_SECONDS)
    hint = {"mongodb": "set MONGODB_URI, or install perennial[local]"}.get(
        name, "set PREFECT_API_URL"
    )
    raise OutsideError(
        f"The embedded {name} server did not start; see {home / 'server.log'}, or {hint}."
    )


def supervise(name: Name, home: Path, port: int, lock: int) -> None:
    """Run a server until no process uses it any more.

    One that ends by itself is started again at the same port, unless it has only just started.
    """
    process, started = _start(name, home, port, lock), time.monotonic()
    try:
        while _in_use(home):
            if process.poll() is not None:
                if time.monotonic() - started < _STABLE_SECONDS:
                    break
                process, started = _start(name, home, port, lock), time.monotonic()
            time.sleep(_SUPERVISE_SECONDS)
    finally:
        _end(process)


def _start(name: Name, home: Path, port: int, lock: int) -> subprocess.Popen[bytes]:
    program = _PROGRAMS[name]
    # The server inherits the lock: were the supervisor killed, it would still count as running.
    return subprocess.Popen(
        program.arguments(home, port),
        env={**os.environ, **program.environment(home)},
        pass_fds=[lock],
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server; it loses nothing when it is killed, but starts sooner when it was not."""
    for _ in range(_END_TRIES):
        # A Python program that is just about to wait may see a signal only with the next one.
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
    process.wait()


def _mongodb(home: Path, port: int) -> list[str]:
    beside = Path(sys.executable).with_name("secantusd-py")
    program = str(beside) if beside.exists() else shutil.which("secantusd-py") or "secantusd-py"
    address = ["--host", "127.0.0.1", "--port", str(port)]
    return [program, *address, "--storage-path", str(home / "files"), "--log-level", "WARNING"]


def _prefect(home: Path, port: int) -> list[str]:
    """Return the command by which Prefect starts its ephemeral server itself, only sooner."""
    del home
    application = ["--factory", "prefect.server.api.server:create_app", "--lifespan", "on"]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "-m", "uvicorn", *application, *address, "--log-level", "error"]


def _prefect_environment(home: Path) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_UI_ENABLED": "0",
        # Types of blocks are listed by pages, which it has not; to list them costs seconds. A block
        # that a program saves registers its own type.
        "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
        "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }


_PROGRAMS: dict[Name, _Program] = {
    "mongodb": _Program(_mongodb, lambda _: {}),
    "prefect": _Program(_prefect, _prefect_environment),
}


def _in_use(home: Path) -> bool:
    with (home / "start.lock").open("a") as start, (home / "users.lock").open("a") as users:
        if not (_try_lock(start) and _try_lock(users)):
            return True
        # Under the start lock nobody can come between the end of the last user and this.
        (home / "port").unlink(missing_ok=True)
        return False


def _is_running(home: Path) -> bool:
    with (home / "running.lock").open("a") as running:
        return not _try_lock(running)


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _port(home: Path) -> int | None:
    with suppress(FileNotFoundError):
        return int((home / "port").read_text())
    return None


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port(home: Path) -> int:
    """Return the port of the last time if it is free: people keep addresses."""
    with suppress(FileNotFoundError, ValueError, OSError):
        return _bind(int((home / "last_port").read_text()))
    return _bind(0)


def _bind(port: int) -> int:
    with socket.socket() as probe:
        # As the servers do, which do not wait for old connections to be forgotten.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    # BentoML ends a worker with all its children, which would leave the server behind alone.
    # The supervisor ends by itself, a second after the last user.
    signal.signal(signal.SIGTERM, lambda *_: None)
    supervise(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))  # type: ignore[arg-type]
