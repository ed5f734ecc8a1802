"""The person who decides something, as histories name them."""

from __future__ import annotations

import getpass

from prefect.runtime import deployment

from perennial.errors import OutsideError


def deciding_person(by: str | None) -> str:
    """Return who decides: the name that was given, or the user of this process.

    Raises
    ------
    OutsideError
        If none was given to a deployment's run: the user of a worker has decided nothing.
    """
    if by is not None and by.strip():
        return by.strip()
    if deployment.id is not None:
        raise OutsideError("'by' is empty; say who decides.")
    return getpass.getuser()
