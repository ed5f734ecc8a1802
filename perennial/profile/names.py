"""Names of columns, and what they say."""

from __future__ import annotations

import re

_PERSON = re.compile(
    r"customer|client|user|member|patient|subject|author|account|session|household|device|seller|"
    r"company|kunde|cliente|usuario|person",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(r"([_\W]|^)(id|uuid|key|nr|no|number|name)$|[a-z]I[Dd]$", re.IGNORECASE)


def names_a_group(name: str) -> bool:
    """Return whether a column is called like the key of somebody who has several rows."""
    return bool(_PERSON.search(name) and _IDENTIFIER.search(name))
