"""Counts of documents, kept beside the snapshots so that a retraining counts only what is new.

A file has the counts of some documents, each under the digest of its revision: what was edited, or
is read in another way, has another one. Files are never changed. Whoever counts documents writes a
file of them, so that two runs at once write two files, and whoever reads takes what it finds. They
may be lost at any time: what is not there, or is damaged, is counted again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import fs

import perennial.text
from perennial.errors import OutsideError
from perennial.hashing import halves
from perennial.settings import Settings
from perennial.stores.snapshots.arrow_rows import read_arrays, write_arrays
from perennial.stores.snapshots.file_system import file_system
from perennial.stores.snapshots.store import SnapshotStore
from perennial.text.counting.documents import CountedDocuments, Part, choose_features
from perennial.text.tokens import pack, unpack

_log = logging.getLogger(__name__)

# Their folder, below that of the problem.
COUNTS = "counts"
_ENDING = ".arrow"
# More files than that become one.
_MANY = 16
_ARRAYS = tuple(each.name for each in fields(CountedDocuments))
Count = Callable[[NDArray[np.int64]], CountedDocuments]


@dataclass(frozen=True, eq=False)
class _Kept:
    """The content of a file: documents with their digests, shape (n_documents, 2)."""

    path: str
    digests: NDArray[np.uint64]
    counted: CountedDocuments

    def rows_of(self, wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the row of each wanted digest, -1 where there is none."""
        found = np.full(len(wanted), -1, np.int64)
        if not len(self.digests):
            return found
        order, asked = np.argsort(self.digests[:, 0]), np.argsort(wanted[:, 0])
        first = self.digests[order, 0]
        places = np.empty(len(wanted), np.int64)
        # Neighbours are found in the same part of memory.
        places[asked] = np.searchsorted(first, wanted[asked, 0])
        places[places == len(first)] = 0
        rows = order[places]
        same = (self.digests[rows] == wanted).all(axis=1)
        found[same] = rows[same]
        return found


class KeptCounts:
    """The counts of a problem's documents, as far as they are kept.

    Parameters
    ----------
    store : SnapshotStore
        The snapshots of the problem.
    settings : Settings
        How much is kept, and with which credentials.
    """

    def __init__(self, store: SnapshotStore, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._limit = int(settings.counts_limit)
        # Whoever is erased from now on must not be in what is written from now on.
        self._erased = frozenset(store.erased().documents)

    def parts(self, digests: pa.Array, how: Mapping[str, Any], count: Count) -> list[Part]:
        """Return the counts of documents; those that are not kept are counted, and kept.

        Parameters
        ----------
        digests : Array of bytes, shape (n_documents,)
            The digests of their revisions.
        how : mapping of str to JSON
            All that decides how they are counted.
        count : callable
            Takes the rows of documents, and returns their counts.

        Returns
        -------
        list of Part
            Together they have every document once.
        """
        wanted = halves(digests)
        found: list[Part] = []
        with self._told():
            folder = _Folder(self._store.uri, self._settings, _key(how))
            found = self._parts(folder, wanted, count)
        if not found:
            rows = np.arange(len(wanted))
            found = [Part(count(rows), rows, rows)]
        return found

    def _parts(self, folder: _Folder, wanted: NDArray[np.uint64], count: Count) -> list[Part]:
        found, used, read = [], [], []
        missing = np.ones(len(wanted), np.bool_)
        for kept in folder.read():
            read.append(kept.path)
            rows = kept.rows_of(wanted)
            places = np.flatnonzero((rows >= 0) & missing)
            if len(places):
                missing[places] = False
                found.append(Part(kept.counted, rows[places], places))
                used.append(kept.path)
        places = np.flatnonzero(missing)
        if len(places):
            counted = count(places)
            found.append(Part(counted, np.arange(len(places)), places))
            with self._told():
                used.append(self._write(folder, wanted[places], counted))
        if len(read) >= _MANY or _are_mostly_others(found):
            with self._told():
                found = self._as_one(folder, wanted, found, [*read, *used])
        elif len(places):
            with self._told():
                folder.trim(self._limit, used)
        return found

    def _as_one(
        self, folder: _Folder, wanted: NDArray[np.uint64], parts: list[Part], used: list[str]
    ) -> list[Part]:
        """Put the files of several times together, without what is not needed any more."""
        chosen = choose_features(parts, min_documents=1, max_features=None, binary=False)
        whole, rows = chosen.as_counted(), np.arange(len(wanted))
        path = self._write(folder, wanted, whole)
        folder.remove(each for each in used if each != path)
        folder.trim(self._limit, [path])
        return [Part(whole, rows, rows)]

    def _write(
        self, folder: _Folder, digests: NDArray[np.uint64], counted: CountedDocuments
    ) -> str:
        path = folder.write(digests, counted, self._limit)
        if not self._erased.issuperset(self._store.erased().documents):
            # The erasure may have looked for it before it was there.
            folder.remove([path])
        return path

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Go on without what is kept where it cannot be read or written; whoever reads may not."""
        try:
            yield
        except (OSError, pa.ArrowException, OutsideError) as error:
            _log.warning("Counts of documents are not kept: %s", error)


def _are_mostly_others(parts: list[Part]) -> bool:
    """Tell whether most of the documents that were read are not wanted any more."""
    return sum(len(part.counted) for part in parts) > 2 * sum(len(part.rows) for part in parts)


class _Folder:
    """The files of one way of counting, beside those of others."""

    def __init__(self, uri: str, settings: Settings, key: str) -> None:
        self._system, root = file_system(f"{uri}/{COUNTS}", settings, "Counts of documents")
        self._root, self._path = root, f"{root}/{key}"

    def read(self) -> Iterator[_Kept]:
        """Yield the content of each file, the largest first; a damaged one is removed."""
        for found in sorted(self._files(self._path), key=lambda each: -each.size):
            if not found.path.endswith(_ENDING):
                # Another run writes it now, or was killed while it did.
                continue
            try:
                arrays = read_arrays(self._system, found.path)
            except FileNotFoundError:
                # Another run has put it together with others.
                continue
            except ValueError as error:
                _log.warning("%s is damaged and counted again: %s", found.path, error)
                self.remove([found.path])
            else:
                words, digests = unpack(arrays.pop("words")), arrays.pop("digests")
                counted = CountedDocuments(words, **arrays)
                yield _Kept(found.path, digests.reshape(-1, 2), counted)

    def write(self, digests: NDArray[np.uint64], counted: CountedDocuments, limit: int) -> str:
        """Write a file, and return its path; nothing is written that is larger than all may be."""
        path = f"{self._path}/{uuid4().hex}{_ENDING}"
        arrays = {name: getattr(counted, name) for name in _ARRAYS}
        arrays |= {"words": pack(counted.words), "digests": digests.ravel()}
        if sum(each.nbytes for each in arrays.values()) <= limit:
            write_arrays(self._system, path, arrays)
        return path

    def trim(self, limit: int, used: list[str]) -> None:
        """Remove files until the rest is small enough: unused ones first, the oldest of them."""
        files = self._files(self._root)
        size = sum(found.size for found in files)
        for found in sorted(files, key=lambda each: (each.path in used, each.mtime_ns or 0)):
            if size <= limit:
                return
            self.remove([found.path])
            size -= found.size

    def remove(self, paths: Iterator[str] | list[str]) -> None:
        """Remove files that are still there."""
        for path in paths:
            try:
                self._system.delete_file(path)
            except FileNotFoundError:
                continue

    def _files(self, path: str) -> list[fs.FileInfo]:
        selector = fs.FileSelector(path, allow_not_found=True, recursive=True)
        found = self._system.get_file_info(selector)
        return [each for each in found if each.type is fs.FileType.File]


def _key(how: Mapping[str, Any]) -> str:
    """Return a digest of all that decides what is counted of a text."""
    said = {
        **how,
        "code": _code(),
        "libraries": [platform.python_version(), unicodedata.unidata_version, pa.__version__],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


@cache
def _code() -> str:
    """Return a digest of the code that counts, and of its tables."""
    found = hashlib.sha256()
    folder = Path(perennial.text.__path__[0])
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix != ".pyc":
            found.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return found.hexdigest()
