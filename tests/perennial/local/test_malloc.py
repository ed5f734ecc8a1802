"""Memory: a flow does not take from the system again and again what it has just given back."""

from __future__ import annotations

import sys

import pytest

from perennial.settings import PROJECT
from tests.fresh import run_fresh

# Pages that threads touch while they make and free large arrays, one after the other; all of them
# together have 390,000.
_WORK = """
import {module}
import resource
import sys
from threading import Thread
import numpy as np
import pyarrow as pa

def work():
    for _ in range(10):
        np.ones(10_000_000)

def touched():
    threads = [Thread(target=work) for _ in range(2)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for thread in threads:
        thread.start()
        thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

work()
print(touched(), pa.default_memory_pool().backend_name)
"""


def _run(module: str, **environment: str) -> tuple[int, str]:
    """Return the pages touched by a process that has imported a module, and Arrow's allocator."""
    bare = {"PYTHONPATH": str(PROJECT), "NUMPY_MADVISE_HUGEPAGE": "0"}
    pages, allocator = run_fresh(_WORK.format(module=module), {**bare, **environment}).split()
    return int(pages), allocator


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc of another system")
def test_an_array_takes_the_place_of_one_that_a_flow_has_freed() -> None:
    usual, _ = _run("perennial.settings")
    pages, allocator = _run("flows")

    assert pages < 0.2 * usual
    assert allocator == "system"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc of another system")
def test_what_the_environment_says_about_memory_holds_in_a_flow() -> None:
    pages, allocator = _run(
        "flows",
        MALLOC_TRIM_THRESHOLD_="131072",
        MALLOC_MMAP_MAX_="65536",
        ARROW_DEFAULT_MEMORY_POOL="mimalloc",
    )

    assert pages > 100_000
    assert allocator == "mimalloc"
