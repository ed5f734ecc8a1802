"""The `kubectl` of the virtual environment, the same on every machine."""

from __future__ import annotations

import sys
from pathlib import Path

from perennial.errors import OutsideError


def kubectl() -> str:
    """Return the path of `kubectl`.

    Raises
    ------
    OutsideError
        If the virtual environment does not have it.
    """
    path = Path(sys.prefix) / "bin" / "kubectl"
    if not path.exists():
        raise OutsideError(f"There is no {path}: run `make .venv/dev`, which installs it.")
    return str(path)
