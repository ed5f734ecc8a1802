"""Packed answers: gzip, for who asks for it."""

from __future__ import annotations

import gzip

import anyio.to_thread

# The quickest: of JSON it leaves a fifth, and the best one a sixth.
_LEVEL = 1


def takes_packed(accepted: bytes) -> bool:
    """Return whether a header Accept-Encoding allows gzip."""
    for each in accepted.lower().split(b","):
        name, *parameters = (part.strip() for part in each.split(b";"))
        if name in {b"gzip", b"x-gzip", b"*"}:
            return not any(_is_never(parameter) for parameter in parameters)
    return False


async def pack(body: bytes) -> bytes:
    """Return a body packed with gzip, while other requests are answered."""
    return await anyio.to_thread.run_sync(lambda: gzip.compress(body, _LEVEL, mtime=0))


def _is_never(parameter: bytes) -> bool:
    name, _, value = parameter.partition(b"=")
    try:
        return name.strip() == b"q" and float(value) == 0
    except ValueError:
        return False
