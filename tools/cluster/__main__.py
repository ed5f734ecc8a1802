"""Build and fetch what a cluster for the tests is made of: ``python -m tools.cluster``."""

from __future__ import annotations

import sys

from perennial.errors import OutsideError
from tools.cluster.definitions import definitions
from tools.cluster.programs import UnreachedError, build


def main() -> None:
    """Build what is missing; where modules cannot be fetched, say that tests are skipped."""
    try:
        build()
        definitions()
    except UnreachedError as error:
        print(f"The tests of the cluster are SKIPPED: {error}", file=sys.stderr)
    except OutsideError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
