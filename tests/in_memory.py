"""Temporary folders of the tests in memory, where the system has room for them there.

Databases sync every write, of which a slow disk does few in a second: the tests then wait for it
most of their time. Worker processes and the servers that they start inherit where the folders are.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_LEAST_FREE = 6_000_000_000


def _has_room() -> bool:
    if not _MEMORY.is_dir():
        return False
    found = os.statvfs(_MEMORY)
    # Programs are unpacked into temporary folders, too.
    return found.f_bavail * found.f_frsize >= _LEAST_FREE and not found.f_flag & os.ST_NOEXEC


if "TMPDIR" not in os.environ and _has_room():
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)
