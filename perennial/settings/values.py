"""Values of settings that several of them have."""

from __future__ import annotations


def by_commas(value: object) -> object:
    """Return the parts of a text between its commas; anything else as it is."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
