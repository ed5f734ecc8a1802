"""Prediction ids: signed, so that one that was never issued is refused without a look at the log.

An id names problem and version, and then in hexadecimal when and for which request it was issued,
of how many inputs that request was, a signature over all of this, and the place of the input. All
ids of a request share one signature, which costs about a microsecond.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from time import time

_NONCE_BYTES = 8
_NONCE_DIGITS = 2 * _NONCE_BYTES
_NONCES_AT_ONCE = 256
_SIGNATURE_BYTES = 8
# Hexadecimal digits of the number of inputs: no request has a million of them.
_COUNT_DIGITS = 5
MOST_INPUTS = 16**_COUNT_DIGITS - 1
_ID = re.compile(
    r"(?P<signed>(?P<problem>[a-z][a-z0-9-]*)\.(?P<version>[0-9]{1,9})\."
    rf"(?P<seconds>[0-9a-f]{{8}})[0-9a-f]{{{_NONCE_DIGITS}}}(?P<count>[0-9a-f]{{{_COUNT_DIGITS}}}))"
    rf"(?P<signature>[0-9a-f]{{{2 * _SIGNATURE_BYTES}}})(?P<position>[0-9a-f]{{{_COUNT_DIGITS}}})"
)
_LOGGED, _LEFT_OUT = b"logged:", b"left out:"
_MARKS = (_LOGGED, _LEFT_OUT)


def _write_positions(count: int) -> tuple[str, ...]:
    return tuple(f"{position:05x}" for position in range(count))


# To format a number takes longer than to join two texts, and most requests are small.
_POSITIONS = _write_positions(1000)


@dataclass(frozen=True)
class Issued:
    """What an id says of the prediction that it was issued for.

    Attributes
    ----------
    problem : str
        Name of the problem.
    version : int
        Version that answered.
    at : int
        When it was issued, in seconds since 1970.
    is_logged : bool
        Whether the prediction went to the log; of others nothing is kept.
    """

    problem: str
    version: int
    at: int
    is_logged: bool


class PredictionIds:
    """Issues ids, and reads those that were issued with one of some keys.

    Parameters
    ----------
    keys : sequence of bytes
        Secret keys of at most 64 bytes. The first one signs, all of them are recognised.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        # A copy of a hash that has taken its key is half the price of a new one.
        self._signers = [
            {mark: blake2b(mark, key=key, digest_size=_SIGNATURE_BYTES) for mark in _MARKS}
            for key in keys
        ]
        self._nonces = _nonces()

    def issue(self, problem: str, version: int, count: int, *, logged: bool) -> list[str]:
        """Return the ids of a request's predictions, at most `MOST_INPUTS`."""
        signed = f"{problem}.{version}.{int(time()):08x}{next(self._nonces)}{count:05x}"
        signer = self._signers[0][_LOGGED if logged else _LEFT_OUT].copy()
        signer.update(signed.encode())
        signed += signer.hexdigest()
        positions = _POSITIONS[:count] if count <= len(_POSITIONS) else _write_positions(count)
        return [signed + position for position in positions]

    def read(self, prediction_id: str) -> Issued | None:
        """Return what an id says; None if it was not issued with any of the keys."""
        found = _ID.fullmatch(prediction_id)
        if found is None or int(found["position"], 16) >= int(found["count"], 16):
            return None
        for mark in self._marks_of(found["signed"], found["signature"]):
            return Issued(
                found["problem"],
                int(found["version"]),
                int(found["seconds"], 16),
                is_logged=mark == _LOGGED,
            )
        return None

    def _marks_of(self, signed: str, signature: str) -> Iterator[bytes]:
        for signers in self._signers:
            for mark, signer in signers.items():
                expected = signer.copy()
                expected.update(signed.encode())
                if compare_digest(expected.hexdigest(), signature):
                    yield mark


def _nonces() -> Iterator[str]:
    """Yield random hexadecimal numbers."""
    while True:
        digits = os.urandom(_NONCE_BYTES * _NONCES_AT_ONCE).hex()
        for start in range(0, len(digits), _NONCE_DIGITS):
            yield digits[start : start + _NONCE_DIGITS]
