"""Paths: ``address.city`` is the field city of the object address, everywhere.

A key that has the whole name, dots and all, comes first: so a flat record, a column of a file or
what somebody sends may be named as the path is. In MongoDB itself a dot always is a path: what has
such a key there counts as missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

_DOT = "."


class _Missing:
    """There is no such field."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


def read(document: Mapping[str, Any], path: str) -> Any:
    """Return what stands at a path; `MISSING` if nothing does.

    A path leads through objects only, never into lists.
    """
    found = document.get(path, MISSING)
    if found is not MISSING or _DOT not in path:
        return found
    first, _, rest = path.partition(_DOT)
    inner = document.get(first)
    return read(inner, rest) if isinstance(inner, Mapping) else MISSING


def leads_into_list(document: Mapping[str, Any], path: str) -> bool:
    """Return whether a list stands on the way, before the end of a path."""
    inner: Any = document
    for name in path.split(_DOT)[:-1]:
        inner = inner.get(name) if isinstance(inner, Mapping) else None
        if isinstance(inner, list):
            return True
    return False


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document in which each value stands at its path; no path may lead into another."""
    document: dict[str, Any] = {}
    for path, value in values.items():
        put(document, path, value)
    return document


def put(document: dict[str, Any], path: str, value: Any) -> None:
    """Set what stands at a path; objects on the way are made where there is nothing.

    Raises
    ------
    ValueError
        If something else than an object is on the way; the message is the path that leads to it.
    """
    if _DOT not in path:
        document[path] = value
        return
    *way, last = path.split(_DOT)
    inner = document
    for place, name in enumerate(way, start=1):
        if inner.get(name) is None:
            inner[name] = {}
        inner = inner[name]
        if not isinstance(inner, dict):
            raise ValueError(_DOT.join(way[:place]))
    inner[last] = value


def collision(paths: Iterable[str]) -> tuple[str, str] | None:
    """Return a path and another one that leads into it, or is the same; None if there is none."""
    seen: set[str] = set()
    # What leads into something, and the first that does.
    inner: dict[str, str] = {}
    for path in paths:
        parts = path.split(_DOT)
        outer = [_DOT.join(parts[:end]) for end in range(1, len(parts) + 1)]
        for other in outer:
            if other in seen:
                return other, path
        if path in inner:
            return path, inner[path]
        seen.add(path)
        for other in outer[:-1]:
            inner.setdefault(other, path)
    return None


def outermost(paths: Iterable[str]) -> list[str]:
    """Return the paths without those that lead into another one: what a projection may name."""
    wanted = list(dict.fromkeys(paths))
    return [path for path in wanted if not any(path.startswith(other + _DOT) for other in wanted)]
