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


def halves(hashes: pa.Array | pa.ChunkedArray) -> NDArray[np.uint64]:
    """Return the two halves of each digest as numbers, shape (n, 2)."""
    return _bytes(hashes).view(">u8").reshape(-1, 2).astype(np.uint64)


def in_order(hashes: pa.Array | pa.ChunkedArray) -> bytes:
    """Return all digests one after the other, the smallest first."""
    return np.sort(_bytes(hashes)).tobytes()


def _bytes(hashes: pa.Array | pa.ChunkedArray) -> NDArray[np.bytes_]:
    fixed = hashes.cast(pa.binary(HASH_BYTES))
    if isinstance(fixed, pa.ChunkedArray):
        fixed = fixed.combine_chunks()
    if not len(fixed):
        return np.empty(0, f"S{HASH_BYTES}")
    data = np.frombuffer(fixed.buffers()[1], f"S{HASH_BYTES}")
    return data[fixed.offset : fixed.offset + len(fixed)]


def unit(hashes: pa.Array, word: int) -> NDArray[np.float64]:
    """Return one half of each digest, the first or the second, as a number in [0, 1)."""
    return halves(hashes)[:, word] / 2.0**64
