"""Errors about a problem's file, and the wording that they share."""

from __future__ import annotations

from collections.abc import Iterable


class CrossReferenceError(ValueError):
    """A value that is wrong only together with another part of the file.

    The message is ``KEY PROBLEM; REMEDY.``, such as "metric is 'cost'; add decision.costs."

    Parameters
    ----------
    location : tuple of str
        Keys that lead to the value.
    problem : str
        What is wrong, as a predicate of the key.
    remedy : str
        What to write instead, as a clause of its own.
    """

    def __init__(self, location: tuple[str, ...], problem: str, remedy: str) -> None:
        super().__init__(f"{'.'.join(location)} {problem}; {remedy}")
        self.location, self.problem, self.remedy = location, problem, remedy


def invalid_value(location: tuple[str, ...], value: object, allowed: str) -> CrossReferenceError:
    """Return the error of a value that has alternatives.

    Parameters
    ----------
    location : tuple of str
        Keys that lead to the value.
    value : object
        The value.
    allowed : str
        The alternatives, as a noun.
    """
    return CrossReferenceError(location, f"is {shorten(value)}", f"allowed is {allowed}")


def join_names(names: Iterable[object]) -> str:
    """Return names as a list in a sentence."""
    return ", ".join(str(name) for name in names) or "(none)"


def shorten(value: object, limit: int = 80) -> str:
    """Return the representation of a value, cut after so many characters."""
    shown = repr(value)
    return shown if len(shown) <= limit else shown[:limit] + "..."
