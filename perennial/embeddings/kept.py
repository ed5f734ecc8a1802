"""Vectors of texts that are kept on disk, so that a text is embedded once.

Training and experiments use them, the service never: what people ask it leaves nothing here. The
key of a vector is a hash of the weights and of the text, which nobody can read back.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from functools import partial
from math import ceil
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from perennial.errors import OutsideError

T = TypeVar("T")
Floats = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Floats]

_LOGGER = logging.getLogger(__name__)
_FILE = Path("cache", "vectors.sqlite")
_TABLE = (
    """CREATE TABLE IF NOT EXISTS vectors
    (key BLOB PRIMARY KEY, used INTEGER NOT NULL, vector BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS vectors_used ON vectors (used)",
)
# A run that writes lets another one wait for so long.
_WAIT_SECONDS = 60.0
# So many texts are embedded before their vectors are kept: a killed run has not worked for nothing.
_AT_ONCE = 500
_DAY = 86_400
# Room is made for more than the next text.
_FILLED = 0.9
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class KeptVectors:
    """Vectors in a file of the data folder, and how many of them a run has found there.

    Several runs may use the file at once.

    Parameters
    ----------
    data_dir : Path
        The data folder.
    most_bytes : int
        How large the file becomes; vectors that were used the longest time ago are thrown away.

    Attributes
    ----------
    embedded, known : int
        How many different texts were embedded so far, and of how many the vector was there.
    """

    def __init__(self, data_dir: Path, most_bytes: int) -> None:
        self.embedded = self.known = 0
        self._path, self._most_bytes = data_dir / _FILE, most_bytes
        self._counted: set[bytes] = set()
        self._version = self._tried(_version_of)

    def of(self, digest: str, texts: Sequence[str], embed: Embed) -> Floats:
        """Return the vector of each text, from the file or made now and kept.

        Parameters
        ----------
        digest : str
            Of the weights.
        texts : sequence of str
            Different texts, at least one.
        embed : callable
            Makes the vectors of texts that are not known.
        """
        keys = [_key(digest, text) for text in texts]
        found = self._tried(partial(_look_up, keys=keys)) or {}
        fresh = [place for place, key in enumerate(keys) if key not in found]
        self._count(keys, fresh)
        for start in range(0, len(fresh), _AT_ONCE):
            some = fresh[start : start + _AT_ONCE]
            vectors = embed([texts[place] for place in some])
            made = dict(zip([keys[place] for place in some], vectors, strict=True))
            self._tried(partial(self._add, made=made))
            found |= made
        return np.vstack([found[key] for key in keys])

    def _count(self, keys: Sequence[bytes], fresh: Sequence[int]) -> None:
        new = set(keys) - self._counted
        made = len(new & {keys[place] for place in fresh})
        self.embedded += made
        self.known += len(new) - made
        self._counted |= new

    def _add(self, file: sqlite3.Connection, made: Mapping[bytes, Floats]) -> None:
        file.execute("BEGIN IMMEDIATE")
        if _version_of(file) != self._version:
            # Emptied since this run began, which may still have what was erased.
            return
        file.executemany(
            "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
            ((key, _today(), vector.tobytes()) for key, vector in made.items()),
        )
        _throw_away(file, self._most_bytes)

    def _tried(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do something with the file; without one a run embeds every text, and does not end."""
        try:
            return _in_file(self._path, action)
        except (sqlite3.Error, OSError) as error:
            _LOGGER.warning("Vectors are not kept: %s cannot be used (%s).", self._path, error)
            return None


_KEPT: ContextVar[KeptVectors | None] = ContextVar("kept vectors", default=None)


@contextmanager
def kept_vectors(data_dir: Path, most_bytes: int) -> Iterator[KeptVectors]:
    """Keep the vectors of the texts of this context, and find those that are kept.

    See `KeptVectors` for the parameters.
    """
    kept = KeptVectors(data_dir, most_bytes)
    token = _KEPT.set(kept)
    try:
        yield kept
    finally:
        _KEPT.reset(token)


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Embed every text in this context, as the service does: what that costs is measured."""
    token = _KEPT.set(None)
    try:
        yield
    finally:
        _KEPT.reset(token)


def keep(digest: str, texts: Sequence[str], embed: Embed) -> Floats:
    """Return the vectors of different texts, those that the context keeps from there."""
    kept = _KEPT.get()
    return embed(texts) if kept is None else kept.of(digest, texts, embed)


def forget_vectors(data_dir: Path) -> int:
    """Remove every kept vector, also what runs that began earlier would add; return how many.

    Raises
    ------
    OutsideError
        If the file cannot be written.
    """
    path = data_dir / _FILE
    if not path.exists():
        return 0
    try:
        removed = _in_file(path, _empty)
        _in_file(path, _shrink)
    except (sqlite3.Error, OSError) as error:
        raise OutsideError(
            f"The vectors in {path} cannot be removed: {error}; end the run that uses them, or "
            "delete the file, and repeat."
        ) from error
    return removed


def _empty(file: sqlite3.Connection) -> int:
    file.execute("BEGIN IMMEDIATE")
    removed = file.execute("DELETE FROM vectors").rowcount
    file.execute(f"PRAGMA user_version = {_version_of(file) + 1}")
    return removed


def _shrink(file: sqlite3.Connection) -> None:
    file.execute("VACUUM")
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _in_file(path: Path, action: Callable[[sqlite3.Connection], T]) -> T:
    """Do something, and write it, with the file; a damaged one is made anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _done(path, action)
    except sqlite3.DatabaseError as error:
        # The lowest byte is the kind of an error, the others say more.
        if error.sqlite_errorcode & 0xFF not in _DAMAGED:
            raise
        _LOGGER.warning(
            "%s is damaged (%s): it is made anew, and texts are embedded again.", path, error
        )
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    return _done(path, action)


def _done(path: Path, action: Callable[[sqlite3.Connection], T]) -> T:
    with closing(sqlite3.connect(path, timeout=_WAIT_SECONDS)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        # What is removed is written over.
        file.execute("PRAGMA secure_delete = ON")
        for statement in _TABLE:
            file.execute(statement)
        found = action(file)
        file.commit()
    return found


def _look_up(file: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Floats]:
    found: dict[bytes, Floats] = {}
    old = []
    for key in keys:
        row = file.execute("SELECT vector, used FROM vectors WHERE key = ?", (key,)).fetchone()
        if row is not None:
            found[key] = np.frombuffer(row[0], np.float32)
            if row[1] < _today():
                old.append((_today(), key))
    if old:
        file.executemany("UPDATE vectors SET used = ? WHERE key = ?", old)
    return found


def _throw_away(file: sqlite3.Connection, most_bytes: int) -> None:
    """Remove vectors, those that were used last the longest time ago, until there is some room."""
    while (size := _size_of(file)) > most_bytes:
        (count,) = file.execute("SELECT count(*) FROM vectors").fetchone()
        if not count:
            return
        gone = ceil(count * (1 - _FILLED * most_bytes / size))
        file.execute(
            "DELETE FROM vectors WHERE rowid IN "
            "(SELECT rowid FROM vectors ORDER BY used, rowid LIMIT ?)",
            (gone,),
        )


def _size_of(file: sqlite3.Connection) -> int:
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (file.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return int((pages - free) * size)


def _version_of(file: sqlite3.Connection) -> int:
    return int(file.execute("PRAGMA user_version").fetchone()[0])


def _today() -> int:
    return int(time.time()) // _DAY


def _key(digest: str, text: str) -> bytes:
    return hashlib.sha256(f"{digest}\n{text}".encode()).digest()
