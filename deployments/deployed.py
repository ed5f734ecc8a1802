"""Which flows are deployed: known from the names of files, without importing one of them."""

from __future__ import annotations

from perennial.settings import PROJECT

# Flows of more than one problem, and what is no flow.
_UNDEPLOYED = {"__init__", "__main__", "cli", "history", "quickstart", "steps"}


def deployed_flows() -> set[str]:
    """Return the flows that are deployed for each problem, by the files in ``flows/``."""
    return {file.stem for file in (PROJECT / "flows").glob("*.py")} - _UNDEPLOYED
