"""Memory: what a process frees, it keeps for what it needs next.

By default the C library gives every large array back to the system as soon as it is freed, and the
next one is taken anew and touched page by page. In a virtual machine that takes longer than the
work on the array: a fifth or more of the time in which the film reviews are prepared.
"""

from __future__ import annotations

import ctypes
import os

# Names and numbers of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER = -1


def keep_freed() -> None:
    """Let this process keep what its C library and Arrow free, and its threads share it.

    For programs that work through much data and end. How much they need at most stays about the
    same, but they hold it to their end. Comes before threads and Arrow are there; does nothing
    where the C library is not glibc. Values that the environment already has are respected.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    # With an arena for each thread, what one has freed would be of no use to another.
    options = {
        "MALLOC_ARENA_MAX": (_M_ARENA_MAX, 1),
        "MALLOC_MMAP_MAX_": (_M_MMAP_MAX, 0),
        "MALLOC_TRIM_THRESHOLD_": (_M_TRIM_THRESHOLD, _NEVER),
    }
    for name, (option, value) in options.items():
        if name not in os.environ:
            mallopt(option, value)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
