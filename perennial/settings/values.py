"""Values of settings that several of them have."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence


def by_commas(value: object) -> object:
    """Return the parts of a text between its commas; anything else as it is."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def require_api_key(scopes: Sequence[str]) -> Callable[[str], str]:
    """Return a validator of API keys' entries: a digest, which scopes may follow.

    Parameters
    ----------
    scopes : sequence of str
        What a key may be allowed.
    """
    scope = "|".join(scopes)
    pattern = re.compile(rf"[0-9a-f]{{64}}(:({scope})(\+({scope}))*)?")

    def require(entry: str) -> str:
        if not pattern.fullmatch(entry):
            raise ValueError(
                "must be SHA-256 in hexadecimal, 64 of 0-9 and a-f, and not what it is made of; a "
                f"colon and scopes may follow, joined by +: {', '.join(scopes)}"
            )
        return entry

    return require
