"""Memory: how much of it this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_MINE = Path("/proc/self/cgroup")


def allowed_memory(mine: Path = _MINE, groups: Path = _GROUPS) -> int:
    """Return the bytes that this process may use: those of the machine, or of its control group.

    Parameters
    ----------
    mine : Path
        The file in which the kernel names the groups of this process.
    groups : Path
        Where the groups are, of either version.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(mine, groups)])


def _limits(mine: Path, groups: Path) -> Iterator[int]:
    """Yield the limits of the groups of this process, and of those that they are in."""
    try:
        lines = mine.read_text(encoding="ascii").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        # In a container the path may be that of the machine, which is not there: its root is.
        for folder in [group, *group.parents]:
            if folder.is_relative_to(root):
                yield from _limit(folder / name)


def _limit(file: Path) -> Iterator[int]:
    try:
        said = file.read_text(encoding="ascii").strip()
    except OSError:
        return
    if said != "max":
        yield int(said)
