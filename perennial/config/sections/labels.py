"""The labels of a problem, as its file gives them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from perennial.config.errors import CrossReferenceError, join_names, shorten

# Beyond them MongoDB has no whole numbers.
_LEAST, _MOST = -(2**63), 2**63 - 1
_ALLOWED = "a label is stored as a text, a whole number, or true or false"
_QUOTED = "write it in quotes if the documents have it as a text"


def check_labels(given: Mapping[Any, Any]) -> None:
    """Check names and stored values of labels, each with one sentence.

    Raises
    ------
    CrossReferenceError
        For the first that is none.
    """
    for name, stored in given.items():
        if not isinstance(name, str):
            shown = str(int(name)) if isinstance(name, bool) else str(name)
            problem = f"is {_as_in_yaml(name)}, and the name of a label is a text"
            raise CrossReferenceError(("labels", shown), problem, "write it in quotes")
        wrong = _wrong(stored)
        if wrong is not None:
            raise CrossReferenceError(("labels", name), *wrong)


def check_merged_labels(labels: Mapping[str, Any], merged: Mapping[str, tuple[Any, ...]]) -> None:
    """Check further values of labels: each belongs to a label of the file, and to one alone.

    Raises
    ------
    CrossReferenceError
        For the first that does not.
    """
    owners = {repr(stored): name for name, stored in labels.items()}
    for name, values in merged.items():
        if name not in labels:
            raise CrossReferenceError(
                ("merge_labels", name),
                "is none of the labels",
                f"allowed are {join_names(labels)}",
            )
        for value in values:
            owner = owners.setdefault(repr(value), name)
            if owner != name or value == labels[name]:
                problem = f"has {_as_in_yaml(value)}, which means {owner} already"
                raise CrossReferenceError(("merge_labels", name), problem, "remove it there")


def _wrong(stored: object) -> tuple[str, str] | None:
    """Return what is wrong with a stored value, and what to write instead."""
    shown, remedy = f"is {_as_in_yaml(stored)}", _ALLOWED
    if isinstance(stored, bool | str) or (isinstance(stored, float) and stored.is_integer()):
        return None
    if isinstance(stored, int):
        if _LEAST <= stored <= _MOST:
            return None
        remedy = f"MongoDB's whole numbers end at {_MOST}; {_QUOTED}"
    elif isinstance(stored, date):
        shown, remedy = f"{shown}, which YAML reads as a date", f"{_ALLOWED}; {_QUOTED}"
    elif stored is None:
        remedy = f"{_ALLOWED}; {_QUOTED}"
    return shown, remedy


def _as_in_yaml(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return shorten(str(value)).strip("'") if isinstance(value, date) else shorten(value)
