"""Build what a real node is made of: ``python -m tools.cluster.machines``."""

from __future__ import annotations

import sys

from perennial.errors import OutsideError
from tools.cluster.machines.programs import build, lacking
from tools.cluster.programs import UnreachedError


def main() -> None:
    """Build what is missing; where there can be no node, say that its tests are skipped."""
    try:
        if reason := lacking():
            raise UnreachedError(f"{reason}.")
        build()
    except UnreachedError as error:
        print(f"The tests of a real node are SKIPPED: {error}", file=sys.stderr)
    except OutsideError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
