"""Services as processes of their own, each on a free port of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from perennial.settings import PROJECT

_START_SECONDS = 120.0
_END_SECONDS = 30.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Running:
    """A service that answers: its address, and its first process."""

    url: str
    process: subprocess.Popen[bytes]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Callable[[int], Sequence[str]],
    env: Mapping[str, str],
    log: Path,
    ready: str | None = None,
) -> Iterator[Running]:
    """Start a service, wait until it is ready, and end it after the block.

    It is ready when its path `ready` answers with 200; without one, when its port is open.

    Raises
    ------
    RuntimeError
        If it does not get ready; the message is the end of its log.
    """
    port = free_port()
    with log.open("w") as output:
        process = subprocess.Popen(
            list(command(port)),
            cwd=PROJECT,
            env={**os.environ, **env},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        if ready is None:
            _wait(url, partial(_listens, port), process, log)
        else:
            _wait(url, partial(answers, url + ready), process, log)
        yield Running(url, process)
    finally:
        _end(process)


def answers(url: str) -> bool:
    """Return whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(
    url: str, is_ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            end = log.read_text(encoding="utf-8", errors="replace")[-2_000:]
            raise RuntimeError(f"{url} does not answer:\n{end}")
        time.sleep(_POLL_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a service with all processes that it started."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
