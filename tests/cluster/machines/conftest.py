"""A cluster whose node runs pods."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.cluster import programs as control_plane
from tools.cluster.machines import local, programs
from tools.cluster.machines.cluster import Machines, machines

# A cluster starts within a minute, on two busy processors within several.
LONGEST_SECONDS = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test of this folder the time that pods take to start."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONGEST_SECONDS))


@pytest.fixture(scope="session")
def live() -> Iterator[Machines]:
    """Yield a cluster of one node."""
    if reason := programs.lacking():
        pytest.skip(reason)
    if names := [*control_plane.missing(), *programs.missing()]:
        pytest.skip(f"{', '.join(names)} are not built: `make test-cluster LEVEL=2` builds them")
    # On a disk: what pods write is more than memory should hold.
    with (
        tempfile.TemporaryDirectory(dir=control_plane.cache()) as folder,
        machines(Path(folder)) as found,
    ):
        yield found


@pytest.fixture(scope="session")
def ours(live: Machines) -> Machines:
    """A cluster whose node has our images."""
    if reason := local.lacking():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(dir=control_plane.cache()) as folder:
        local.add_images(live.node, Path(folder))
    return live
