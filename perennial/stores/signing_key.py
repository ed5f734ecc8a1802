"""The signing key: one secret that all workers and pods of a service share.

It signs prediction ids and hides API keys in the digests of senders. Unless a setting names it, it
is kept in the database of the prediction log, and on each machine in a file, so that a worker that
starts while MongoDB is away goes on with the same one.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymongo.database import Database

    from perennial.stores.mongodb import Document

_BYTES = 32
_COLLECTION, _ID = "signing_keys", "predictions"
_PREDICTION_IDS, _SENDERS = b"prediction ids", b"senders"
_SENDER_BYTES = 8


def derive(secret: bytes, purpose: bytes = _PREDICTION_IDS) -> bytes:
    """Return the key of a purpose, from which neither the secret nor another key follows."""
    whole = blake2b(secret, digest_size=_BYTES).digest()
    return blake2b(purpose, key=whole, digest_size=_BYTES).digest()


def sender(secret: bytes, key_hash: str) -> str:
    """Return the digest by which whoever has an API key is known.

    Parameters
    ----------
    secret : bytes
        The signing key: without it no guess at an API key can be checked against the digest.
    key_hash : str
        SHA-256 of the API key, in hexadecimal.
    """
    key = derive(secret, _SENDERS)
    return blake2b(key_hash.encode(), key=key, digest_size=_SENDER_BYTES).hexdigest()


def kept_on_machine(file: Path) -> bytes:
    """Return the key of a file, which is made with a new one if it is not there.

    Workers that start at once get the same one. Where the file cannot be written, the key is
    this process's own.
    """
    for _ in range(2):
        with suppress(OSError):
            found = file.read_bytes()
            if len(found) == _BYTES:
                return found
        made = secrets.token_bytes(_BYTES)
        try:
            _write(file, made, replace=False)
        except FileExistsError:
            continue
        except OSError:
            return made
        return made
    return made


def shared(log: Database[Document], mine: bytes, file: Path) -> bytes:
    """Return the key of the prediction log, which this one becomes if there is none.

    Raises
    ------
    PyMongoError
        If MongoDB fails.
    """
    from perennial.stores.mongodb import insert_missing

    # The server refuses the second one, whoever comes first.
    keys = log[_COLLECTION]
    insert_missing(keys, [{"_id": _ID, "key": mine}])
    key = bytes(keys.find({"_id": _ID})[0]["key"])
    if key != mine:
        with suppress(OSError):
            _write(file, key, replace=True)
    return key


def _write(file: Path, key: bytes, *, replace: bool) -> None:
    """Write the whole file at once, which only its owner reads."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=file.parent, delete=False) as new:
        new.write(key)
    try:
        if replace:
            Path(new.name).replace(file)
        else:
            os.link(new.name, file)
    finally:
        Path(new.name).unlink(missing_ok=True)
