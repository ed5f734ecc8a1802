"""Values of documents: what must be there, and what their digests say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

HASH_BYTES = 16


class UnusableError(Exception):
    """A document that goes to quarantine; the message is the reason."""


def require(document: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return the value of a field.

    Raises
    ------
    UnusableError
        If it is missing, null or of another type.
    """
    value = document.get(name)
    if value is None:
        raise UnusableError(f"{name} is missing" if name not in document else f"{name} is null")
    if not isinstance(value, kind):
        raise UnusableError(f"{name} is {type(value).__name__}, not {kind.__name__}")
    return value


def require_utf8(name: str, text: str) -> None:
    """Raise `UnusableError` unless a text can be written as UTF-8."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UnusableError(f"{name} is not valid UTF-8") from None


def digest(data: object) -> bytes:
    """Return the digest of bytes, of `HASH_BYTES` length."""
    return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()  # type: ignore[arg-type]


def unit(hashes: pa.Array, word: int) -> NDArray[np.float64]:
    """Return one half of each digest, the first or the second, as a number in [0, 1)."""
    raw = np.frombuffer(b"".join(hashes.to_pylist()), ">u8").reshape(-1, 2)
    return raw[:, word] / 2.0**64
