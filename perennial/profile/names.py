"""Names of columns, and what they say."""

from __future__ import annotations

import re
from collections.abc import Collection

_PERSON = re.compile(
    r"customer|client|user|member|patient|subject|author|account|session|household|device|seller|"
    r"company|kunde|cliente|usuario|person",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(r"([_\W]|^)(id|uuid|key|nr|no|number|name)$|[a-z]I[Dd]$", re.IGNORECASE)


# A key is one word with a digit in it: 4711, K-0815, a UUID.
_KEY = re.compile(r"(?=\S*\d)\S+")
_ENOUGH_KEYS = 0.9


def may_name_a_group(name: str) -> bool:
    """Return whether a column is called like somebody who has several rows, or like their key."""
    found = _PERSON.search(name)
    return found is not None and (found.group() == name or bool(_IDENTIFIER.search(name)))


def names_a_group(name: str, values: Collection[object]) -> bool:
    """Return whether a column is called like the key of somebody who has several rows.

    Parameters
    ----------
    name : str
        The column.
    values : collection
        Its different values, which have to look like keys where the name does not say that they
        are: a ``customer`` may be 4711, or large.
    """
    if not may_name_a_group(name):
        return False
    keys = sum(_KEY.fullmatch(str(value).strip()) is not None for value in values)
    return bool(_IDENTIFIER.search(name)) or keys >= _ENOUGH_KEYS * len(values) > 0
