"""The code beside stored models, once on the disk: equal archives are one file with many names.

A model brings the code along that it needs where Perennial is not installed, and MLflow keeps files
per model. Where these are on a file system, versions of one release share the archive by hard
links: each is found and loaded as before, and the last one that is removed takes it along. A file
system without links, and an object store, keep a copy for each version.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from uuid import uuid4

from perennial.registry.storage.packed_code import ARCHIVE

# As MLflow places models: below the artifacts, or below those of an experiment.
_PLACES = ("models/*/artifacts/code", "*/models/*/artifacts/code")
_log = logging.getLogger(__name__)


def share_code(artifacts: Path) -> int:
    """Let equal archives be one file; return how many bytes that gives back.

    Parameters
    ----------
    artifacts : Path
        The folder of MLflow's artifacts.
    """
    first: dict[str, Path] = {}
    known: dict[int, str] = {}
    saved = 0
    for file in sorted(_archives(artifacts)):
        try:
            found = file.stat()
            digest = known.get(found.st_ino) or _digest(file)
            known[found.st_ino] = digest
            original = first.setdefault(digest, file)
            if original.stat().st_ino != found.st_ino:
                _link(original, file)
                saved += found.st_size if found.st_nlink == 1 else 0
        except OSError:
            # Removed meanwhile, of another user, or on a file system without links: it stays.
            _log.debug("%s is not shared.", file, exc_info=True)
    return saved


def _archives(artifacts: Path) -> Iterator[Path]:
    return chain.from_iterable(artifacts.glob(f"{place}/{ARCHIVE}") for place in _PLACES)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _link(original: Path, file: Path) -> None:
    """Let a name mean another file, at any moment one or the other."""
    scratch = file.with_name(f".{uuid4().hex}")
    os.link(original, scratch)
    scratch.replace(file)
