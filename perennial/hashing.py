"""Digests of content, and the numbers that split documents by them."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

HASH_BYTES = 16


def digest(data: object) -> bytes:
    """Return the digest of bytes, of `HASH_BYTES` length."""
    return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()  # type: ignore[arg-type]


def unit(hashes: pa.Array, word: int) -> NDArray[np.float64]:
    """Return one half of each digest, the first or the second, as a number in [0, 1)."""
    raw = np.frombuffer(b"".join(hashes.to_pylist()), ">u8").reshape(-1, 2)
    return raw[:, word] / 2.0**64
