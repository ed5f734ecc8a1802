"""API keys, of which only digests are stored, each with the scopes that it has."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_SHOWN = 8


@dataclass(frozen=True)
class Holder:
    """The holder of a valid API key.

    Attributes
    ----------
    digest : str
        SHA-256 of the key in hexadecimal.
    scopes : frozenset of str, or None
        What the key may do; None for everything.
    """

    digest: str
    scopes: frozenset[str] | None

    @property
    def name(self) -> str:
        """The beginning of the digest, by which people tell keys apart."""
        return self.digest[:_SHOWN]

    def may(self, scope: str) -> bool:
        """Return whether the key has a scope."""
        return self.scopes is None or scope in self.scopes


class Holders:
    """The holders of API keys, found by their keys.

    Parameters
    ----------
    entries : sequence of str
        Digests of the valid keys, each followed by a colon and its scopes, or by nothing if it has
        all. A digest may stand in several entries, and has the scopes of each.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        named: dict[str, set[str]] = {}
        unlimited = set()
        for entry in entries:
            digest, _, scopes = entry.partition(":")
            named.setdefault(digest, set()).update(scopes.split("+") if scopes else ())
            if not scopes:
                unlimited.add(digest)
        self._all = tuple(
            Holder(digest, None if digest in unlimited else frozenset(scopes))
            for digest, scopes in named.items()
        )

    def __bool__(self) -> bool:
        return bool(self._all)

    def find(self, key: bytes) -> Holder | None:
        """Return the holder of a key; None if the key is not valid.

        Every digest is compared in constant time, whether or not an earlier one was right.
        """
        digest = hashlib.sha256(key).hexdigest()
        found = [each for each in self._all if hmac.compare_digest(digest, each.digest)]
        return found[0] if found else None


def require_api_key(scopes: Sequence[str]) -> Callable[[str], str]:
    """Return a validator of API keys' entries: a digest, which scopes may follow.

    Parameters
    ----------
    scopes : sequence of str
        What a key may be allowed.
    """
    scope = "|".join(scopes)
    pattern = re.compile(rf"[0-9a-f]{{64}}(:({scope})(\+({scope}))*)?")

    def require(entry: str) -> str:
        if not pattern.fullmatch(entry):
            raise ValueError(
                "must be SHA-256 in hexadecimal, 64 of 0-9 and a-f, and not what it is made of; a "
                f"colon and scopes may follow, joined by +: {', '.join(scopes)}"
            )
        return entry

    return require
