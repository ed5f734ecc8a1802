"""What is said of a mistake in a problem's file."""

from __future__ import annotations

from collections.abc import Iterable


class CrossReferenceError(ValueError):
    """What is wrong only together with another part of the file."""

    def __init__(self, location: tuple[str, ...], shown: str, allowed: str) -> None:
        super().__init__(f"{'.'.join(location)} {shown}; {allowed}")
        self.location, self.shown, self.allowed = location, shown, allowed


def at(location: tuple[str, ...], value: object, allowed: str) -> CrossReferenceError:
    """Return that a place has a value, and which it may have."""
    return CrossReferenceError(location, f"is {shorten(value)}", f"allowed is {allowed}")


def listed(names: Iterable[object]) -> str:
    """Return names as a list in a sentence."""
    return ", ".join(str(name) for name in names) or "(none)"


def shorten(value: object, limit: int = 80) -> str:
    """Return how a value is shown, cut after so many characters."""
    shown = repr(value)
    return shown if len(shown) <= limit else shown[:limit] + "..."
