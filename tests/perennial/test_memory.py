"""A process knows how much memory it may use, also in a container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perennial.settings.memory import allowed_memory

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
SMALL = 64 << 20


def grouped(folder: Path, said: str, limits: dict[str, str]) -> int:
    """Return what a process may use whose groups have these limits."""
    mine, groups = folder / "cgroup", folder / "groups"
    mine.write_text(said)
    for name, limit in limits.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(limit)
    return allowed_memory(mine, groups)


@pytest.mark.parametrize(
    ("said", "limits"),
    [
        ("0::/pod/run\n", {"pod/run/memory.max": f"{SMALL}\n"}),
        ("0::/pod/run\n", {"pod/run/memory.max": "max\n", "pod/memory.max": f"{SMALL}\n"}),
        ("0::/pod/run\n", {"memory.max": f"{SMALL}\n"}),
        ("3:cpu:/\n4:memory:/run\n", {"memory/run/memory.limit_in_bytes": f"{SMALL}\n"}),
        ("4:hugetlb,memory:/run\n", {"memory/memory.limit_in_bytes": f"{SMALL}\n"}),
    ],
)
def test_the_limit_of_a_control_group_counts(
    tmp_path: Path, said: str, limits: dict[str, str]
) -> None:
    assert grouped(tmp_path, said, limits) == SMALL


@pytest.mark.parametrize(
    ("said", "limits"),
    [
        ("0::/\n", {"memory.max": "max\n"}),
        ("0::/\n", {}),
        ("3:cpu:/small\n", {"cpu/small/memory.max": "1\n"}),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": f"{2**63 - 4096}\n"}),
    ],
)
def test_without_a_limit_it_is_the_memory_of_the_machine(
    tmp_path: Path, said: str, limits: dict[str, str]
) -> None:
    assert grouped(tmp_path, said, limits) == MACHINE


def test_so_it_is_where_there_are_no_control_groups(tmp_path: Path) -> None:
    assert allowed_memory(tmp_path / "none", tmp_path) == MACHINE
