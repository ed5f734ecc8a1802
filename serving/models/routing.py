"""Which version answers a request: Production, or for a share of the requests the canary."""

from __future__ import annotations

import hashlib
import random

from serving.models.loaded import Loaded, Served

_RANGE = 2.0**64


def choose(served: Served, key: bytes | None) -> Loaded:
    """Return the version that answers.

    Parameters
    ----------
    served : Served
        What there is to choose from.
    key : bytes or None
        The header X-Request-Key: requests with the same key get the same version as long as the
        canary's share does not change. When the share grows, keys only move to the canary.
    """
    canary = served.canary
    if canary is None or canary.version.is_shadow:
        return served.production
    return canary if _draw(served.problem, key) < canary.version.share else served.production


def shadow(served: Served, key: bytes | None) -> Loaded | None:
    """Return the version that sees a request without answering it, if any."""
    canary = served.canary
    if canary is None or not canary.version.is_shadow:
        return None
    return canary if _draw(served.problem, key) < canary.version.share else None


def _draw(problem: str, key: bytes | None) -> float:
    """Return a number from [0, 1): the same for the same key."""
    if key is None:
        return random.random()  # noqa: S311
    digest = hashlib.blake2b(key, digest_size=8, key=problem.encode()).digest()
    return int.from_bytes(digest) / _RANGE
