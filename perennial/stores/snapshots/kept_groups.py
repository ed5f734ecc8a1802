"""Groups of near-copies, kept beside the snapshots: only documents that are new are compared.

There is one file, which holds content hashes and no text. It may be lost at any time: without it,
or where documents in it have changed or are gone, documents are compared again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from perennial.errors import OutsideError
from perennial.inputs import near_copies
from perennial.inputs.near_copies import Groups, with_groups
from perennial.settings import Settings
from perennial.stores.snapshots.arrow_rows import read_arrays, write_arrays
from perennial.stores.snapshots.file_system import file_system

_log = logging.getLogger(__name__)

# Beside the counts of documents, with which it is erased and left out of backups.
_FOLDER = "counts/near-copies"
_ARRAYS = tuple(each.name for each in fields(Groups))


class KeptGroups:
    """The groups of a problem's documents, as the last retraining found them.

    Parameters
    ----------
    uri : str
        Where the snapshots of the problem are.
    settings : Settings
        How much may be kept, and with which credentials.
    erased : callable
        Returns the documents that are erased by now.
    """

    def __init__(
        self, uri: str, settings: Settings, erased: Callable[[], Collection[object]]
    ) -> None:
        self._uri, self._settings, self._erased = uri, settings, erased
        # Whoever is erased from now on must not be in what is written from now on.
        self._before = len(erased())

    def representatives(self, documents: pa.Table) -> pa.Table:
        """Return documents with their representatives, of which only new ones are compared.

        The parameter is that of `perennial.inputs.near_copies.with_groups`.
        """
        known = self._read()
        rows, groups = with_groups(documents, known)
        if groups.begin_like(known) < len(groups):
            self._write(groups)
        return rows

    def _read(self) -> Groups:
        """Return the groups; none where none are kept, or the file is not what was written."""
        arrays: dict[str, NDArray[Any]] = {}
        with self._told():
            system, path = self._file()
            with suppress(FileNotFoundError):
                arrays = read_arrays(system, path)
        if not arrays:
            return Groups.none()
        return Groups(**arrays | {"content": arrays["content"].reshape(-1, 2)})

    def _write(self, groups: Groups) -> None:
        """Keep groups in the place of those before."""
        arrays = {name: getattr(groups, name).ravel() for name in _ARRAYS}
        if sum(each.nbytes for each in arrays.values()) > int(self._settings.counts_limit):
            return
        with self._told():
            system, path = self._file()
            write_arrays(system, path, arrays)
            if len(self._erased()) > self._before:
                # The erasure may have looked for it before it was there.
                system.delete_file(path)

    def _file(self) -> tuple[pa.fs.FileSystem, str]:
        system, root = file_system(f"{self._uri}/{_FOLDER}", self._settings, "Near-copies")
        return system, f"{root}/{_code()}.arrow"

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Go on without what is kept where it cannot be read or written, or is damaged."""
        try:
            yield
        except (OSError, ValueError, pa.ArrowException, OutsideError) as error:
            _log.warning("Groups of near-copies are not kept: %s", error)


@cache
def _code() -> str:
    """Return a digest of the code that finds groups."""
    return hashlib.sha256(Path(near_copies.__file__).read_bytes()).hexdigest()[:32]
