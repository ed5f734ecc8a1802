"""Values of settings that several of them have."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ByteSize


def by_commas(value: object) -> object:
    """Return the parts of a text between its commas; anything else as it is."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def size(value: object, read: Callable[[object], ByteSize]) -> ByteSize:
    """Return the bytes that a text with a unit says."""
    try:
        found = read(value)
    except ValueError:
        found = ByteSize(0)
    if found <= 0:
        raise ValueError("must be a number of bytes above 0, such as 4GiB or 700MB")
    return found
