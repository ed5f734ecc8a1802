"""Limits on connections before a request is one: size and time of its head, and how many.

An application sees a request when its head is complete, so that it can neither refuse an endless
head nor end a connection on which nobody says anything.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Protocol

    from perennial.settings import ServingSettings
else:
    _Protocol = object

_HOST, _WITHOUT_HOST = b"host", "1.0"
_SWEEP_SECONDS = 1.0
# How long a refused client may take to read why; until then what it sends is thrown away.
_LINGER_SECONDS = 1.0
# What a worker opens beside connections: files of models and metrics, MongoDB, the registry, and
# libraries that it imports meanwhile.
_SPARE_FILES = 32


class Connection(Protocol):
    """What is asked of a connection here."""

    def waits_since(self) -> float | None:
        """Return since when it owes the head of a request; None while one is answered."""

    def is_idle(self) -> bool:
        """Return whether no request is answered on it."""

    def refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Answer and close."""

    def drop(self) -> None:
        """Close at once."""


@dataclass(frozen=True)
class ConnectionLimits:
    """What a connection may take, and how many a worker has.

    Attributes
    ----------
    head_bytes : int
        Size of the head of a request.
    head_seconds : float
        How long a head may take, also the first one of a connection that says nothing.
    connections : int
        Number of open connections of a worker.
    """

    head_bytes: int
    head_seconds: float
    connections: int

    @classmethod
    def of(cls, settings: ServingSettings) -> ConnectionLimits:
        """Return the limits of these settings, with no more connections than files may be open."""
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        opened = sum(1 for _ in Path("/dev/fd").iterdir())
        free = max(1, most - opened - _SPARE_FILES)
        return cls(
            settings.max_head_bytes, settings.head_seconds, min(settings.max_connections, free)
        )


def make_room(connections: Iterable[Any]) -> bool:
    """Close the idle connection that has waited longest; return whether there was one."""
    idle: list[Connection] = [each for each in connections if each.is_idle()]
    if not idle:
        return False
    # One that has been answered and may ask again comes after those that have never asked.
    min(idle, key=lambda each: each.waits_since() or float("inf")).drop()
    return True


async def sweep(connections: Iterable[Any], seconds: float) -> None:
    """Refuse, once a second, connections that have owed a head for too long."""
    now = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(min(_SWEEP_SECONDS, seconds))
        for each in tuple(connections):
            since = each.waits_since()
            if since is not None and now() - since > seconds:
                each.refuse(
                    HTTPStatus.REQUEST_TIMEOUT,
                    "too_slow",
                    f"The head of the request did not arrive within {seconds:g} s.",
                )


class _Limited(_Protocol):
    """uvicorn's protocol for HTTP with self.limits."""

    limits: ConnectionLimits
    _since: float | None = None
    _in_head, _head_bytes, _is_refused = True, 0, False

    def connection_made(self, transport: Any) -> None:
        is_full = len(self.connections) >= self.limits.connections
        if is_full and not make_room(self.connections):
            super().connection_made(transport)
            self.refuse(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too_many_connections",
                f"This worker has {self.limits.connections:,} connections, and all are in use.",
            )
            return
        super().connection_made(transport)
        self._since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._since is None:
                self._since = self.loop.time()
        super().data_received(data)
        if self._in_head and self._head_bytes > self.limits.head_bytes:
            self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_head:
            # It comes after a body, in the same piece.
            self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._in_head, self._since = False, None
        size = hosts = 0
        for name, value in self.headers:
            size += len(name) + len(value)
            hosts += name == _HOST
        if size > self.limits.head_bytes:
            self._refuse_head()
        elif hosts != 1 and (hosts or self.parser.get_http_version() != _WITHOUT_HOST):
            self.refuse(
                HTTPStatus.BAD_REQUEST,
                "no_host",
                "A request of HTTP/1.1 has the header Host exactly once.",
            )
        else:
            super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.is_idle():
            # What comes now is the next head, or the rest of a body that nobody has read.
            self._in_head, self._head_bytes = True, 0

    def on_body(self, body: bytes) -> None:
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._is_refused:
            super().on_message_complete()

    def waits_since(self) -> float | None:
        return None if self._is_refused else self._since

    def is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def drop(self) -> None:
        self._is_refused = True
        self.connections.discard(self)
        self.transport.abort()

    def refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        self._is_refused = True
        self._unset_keepalive_if_required()
        if self._head_bytes or status is not HTTPStatus.REQUEST_TIMEOUT:
            self.transport.write(_answer(status, code, message))
            self.loop.call_later(_LINGER_SECONDS, self.transport.abort)
        else:
            # Nobody asked anything.
            self.transport.abort()

    def _refuse_head(self) -> None:
        self.refuse(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head_too_large",
            f"The head of the request is larger than {self.limits.head_bytes:,} bytes.",
        )


def limited(protocol: type[Any], limits: ConnectionLimits) -> type[Any]:
    """Return uvicorn's protocol for HTTP with limits.

    Parameters
    ----------
    protocol : type
        ``HttpToolsProtocol`` of uvicorn.
    limits : ConnectionLimits
        What it keeps to.
    """
    return type("LimitedProtocol", (_Limited, protocol), {"limits": limits})


def _answer(status: HTTPStatus, code: str, message: str) -> bytes:
    body = orjson.dumps({"error": {"code": code, "message": message, "field": None}})
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
