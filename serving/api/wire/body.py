"""The body of a request, within limits of size and time."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator, Mapping
from typing import Any

from starlette.types import Message, Receive

from serving.api.errors import ApiError, DisconnectedError


async def read_body(
    headers: Mapping[bytes, bytes], receive: Receive, *, most: int, seconds: float
) -> bytes:
    """Return the body of a request.

    Raises
    ------
    ApiError
        413 if the body is larger than `most` bytes, declared or not; 408 if it does not arrive
        in time.
    DisconnectedError
        If the client disconnects before.
    """
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    # Most bodies have come with their head. What is there is taken without a timer, which would be
    # a tenth of the time that an answer takes.
    receiving, message = receive().__await__(), None
    try:
        waits_for = next(receiving)
    except StopIteration as received:
        message = received.value
        if message["type"] == "http.request" and not message.get("more_body"):
            return _limited(message.get("body", b""), most)
    try:
        async with asyncio.timeout(seconds):
            if message is None:
                message = await _go_on(receiving, waits_for)
            return await _read_all(message, receive, most)
    except TimeoutError:
        raise ApiError(
            408,
            "too_slow",
            f"The request body did not arrive within {seconds:g} s.",
            headers={"Connection": "close"},
        ) from None


@types.coroutine
def _go_on(receiving: Generator[Any, Any, Message], waits_for: Any) -> Generator[Any, Any, Message]:
    """Return what is received by who has begun with it, and waits."""
    try:
        yield waits_for
        return (yield from receiving)
    finally:
        receiving.close()


async def _read_all(message: Message, receive: Receive, most: int) -> bytes:
    parts, size = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def _limited(body: bytes, most: int) -> bytes:
    if len(body) > most:
        raise _too_large(most)
    return body


def _too_large(most: int) -> ApiError:
    return ApiError(
        413,
        "too_large",
        f"The request body is larger than the {most:,} bytes that are allowed.",
        headers={"Connection": "close"},
    )
