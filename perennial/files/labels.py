"""Labels in files: a name or a stored value, in whatever way the file writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perennial.fields import KINDS
from perennial.fields.base import is_nan


class LabelReader:
    """Reads labels as the documents of a problem have them.

    Parameters
    ----------
    labels : mapping of str to object
        Name -> stored value, as the problem's file gives them.
    """

    def __init__(self, labels: Mapping[str, Any]) -> None:
        self._labels = labels
        self._kinds = list(dict.fromkeys(_kind(stored) for stored in labels.values()))

    def read(self, value: Any) -> Any:
        """Return the stored value that a name or a value of a file means.

        What is none of the labels is read as the labels are, if these are of one kind, so that a
        new label can be added later. None says that there is no label.
        """
        value = value.strip() if isinstance(value, str) else value
        if isinstance(value, str) and value in self._labels:
            return self._labels[value]
        read = [_read(kind, value) for kind in self._kinds]
        for kind, found in zip(self._kinds, read, strict=True):
            for stored in self._labels.values():
                if _kind(stored) == kind and found == stored:
                    return stored
        if value is None or value == "" or is_nan(value):
            return None
        return read[0] if len(read) == 1 else value


def _kind(stored: object) -> str:
    if isinstance(stored, bool):
        return "boolean"
    return "category" if isinstance(stored, str) else "number"


def _read(kind: str, value: Any) -> Any:
    """Return a value as one of a kind; as it is if it is none or may mean two things."""
    try:
        found = KINDS[kind].from_file(value)
    except ValueError:
        return value
    if kind == "number" and isinstance(found, bool):
        return int(found)
    # "?" may be a label that nobody has declared yet; only an empty one is none.
    return value if found is None else found
