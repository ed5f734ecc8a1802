"""Which flows are deployed: known from the names of files, without importing one of them."""

from __future__ import annotations

from importlib.util import find_spec
from pkgutil import iter_modules

# Flows of more than one problem, and what is no flow.
_UNDEPLOYED = {"__init__", "__main__", "history", "quickstart"}


def deployed_flows() -> set[str]:
    """Return the flows that are deployed for each problem, by the files in ``flows/``."""
    found = find_spec("flows")
    folders = found.submodule_search_locations if found else None
    return {module.name for module in iter_modules(folders)} - _UNDEPLOYED
