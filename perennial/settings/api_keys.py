"""API keys, of which only digests are stored, each with its scopes and problems."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_SHOWN = 8
_PROBLEM = "[a-z][a-z0-9-]*"


class Grant(NamedTuple):
    """What one entry of a key allows.

    Attributes
    ----------
    scopes : frozenset of str, or None
        What the key may do; None for everything.
    problems : frozenset of str, or None
        With which problems; None for all.
    """

    scopes: frozenset[str] | None
    problems: frozenset[str] | None

    def allows(self, scope: str, problem: str | None) -> bool:
        """Return whether it allows a scope, with a problem or with any."""
        with_problem = problem is None or self.problems is None or problem in self.problems
        return with_problem and (self.scopes is None or scope in self.scopes)


@dataclass(frozen=True)
class Holder:
    """The holder of a valid API key.

    Attributes
    ----------
    digest : str
        SHA-256 of the key in hexadecimal.
    grants : tuple of Grant
        What the key may do.
    """

    digest: str
    grants: tuple[Grant, ...]

    @property
    def name(self) -> str:
        """The beginning of the digest, by which people tell keys apart."""
        return self.digest[:_SHOWN]

    def may(self, scope: str, problem: str | None = None) -> bool:
        """Return whether the key has a scope, for a problem or for any."""
        return any(each.allows(scope, problem) for each in self.grants)


class Holders:
    """The holders of API keys, found by their keys.

    Parameters
    ----------
    entries : sequence of str
        Digests of the valid keys, each followed by a colon and its scopes, or by nothing if it has
        all, and by an at sign and its problems, or by nothing if it has all. A digest may stand in
        several entries, each of which allows what it names.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        grants: dict[str, list[Grant]] = {}
        for entry in entries:
            digest, *_ = entry.partition(":")
            grants.setdefault(digest, []).append(read_grant(entry))
        self._all = tuple(Holder(digest, tuple(found)) for digest, found in grants.items())

    def __bool__(self) -> bool:
        return bool(self._all)

    def find(self, key: bytes) -> Holder | None:
        """Return the holder of a key; None if the key is not valid.

        Every digest is compared in constant time, whether or not an earlier one was right.
        """
        digest = hashlib.sha256(key).hexdigest()
        found = [each for each in self._all if hmac.compare_digest(digest, each.digest)]
        return found[0] if found else None


def read_grant(entry: str) -> Grant:
    """Return what an entry of a key allows."""
    _, _, allowed = entry.partition(":")
    scopes, _, problems = allowed.partition("@")
    return Grant(_names(scopes), _names(problems))


def require_api_key(scopes: Sequence[str], of_problems: Sequence[str]) -> Callable[[str], str]:
    """Return a validator of API keys' entries: a digest, which scopes and problems may follow.

    Parameters
    ----------
    scopes : sequence of str
        What a key may be allowed.
    of_problems : sequence of str
        Those of them that it may be allowed for some problems only.
    """
    digest, every, some = r"[0-9a-f]{64}", _joined("|".join(scopes)), _joined("|".join(of_problems))
    pattern = re.compile(rf"{digest}(:{every}|:{some}@{_joined(_PROBLEM)})?")

    def require(entry: str) -> str:
        if not pattern.fullmatch(entry):
            raise ValueError(
                "must be SHA-256 in hexadecimal, 64 of 0-9 and a-f, and not what it is made of; a "
                f"colon and scopes may follow, joined by +: {', '.join(scopes)}; behind "
                f"{' and '.join(of_problems)} an at sign and names of problems, joined by +"
            )
        return entry

    return require


def _names(joined: str) -> frozenset[str] | None:
    return frozenset(joined.split("+")) if joined else None


def _joined(pattern: str) -> str:
    return rf"({pattern})(\+({pattern}))*"
