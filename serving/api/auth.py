"""Authentication by API keys and tokens, of which only digests are stored, and what each may do."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Literal

from serving.api.errors import ApiError

Scope = Literal["classify", "feedback", "refresh", "metrics"]

_BEARER = b"bearer "
_MISSING = "Send an API key in the header Authorization: Bearer KEY."
_MAY_NOT: Mapping[Scope, str] = {
    "classify": "This API key may not classify; its entry lacks the scope classify.",
    "feedback": "This API key may not give feedback; its entry lacks the scope feedback.",
    "refresh": "This API key may not refresh the models; its entry lacks the scope refresh.",
    "metrics": "This API key may not read the metrics; its entry lacks the scope metrics.",
}


class ApiKeys:
    """The API keys of a service, each with its scopes.

    Parameters
    ----------
    entries : sequence of str
        Digests of the keys, each followed by a colon and its scopes, or by nothing if it has all.
    refresh_token : str, optional
        Digest of a token for the scope ``refresh``. With it, only keys that name this scope
        have it.
    """

    def __init__(self, entries: Sequence[str], refresh_token: str | None = None) -> None:
        self._named: dict[str, frozenset[str]] = {}
        self._all: set[str] = set()
        for entry in entries:
            digest, _, scopes = entry.partition(":")
            if scopes:
                earlier = self._named.get(digest, frozenset())
                self._named[digest] = earlier | frozenset(scopes.split("+"))
            else:
                self._all.add(digest)
        self._digests = tuple({*self._named, *self._all})
        self._token = refresh_token

    def __bool__(self) -> bool:
        return bool(self._digests)

    def asks_for(self, scope: Scope) -> bool:
        """Return whether any key names a scope."""
        return any(scope in scopes for scopes in self._named.values())

    def require(self, headers: Mapping[bytes, bytes], scope: Scope) -> str:
        """Return the digest of a request's key, after checking that the key has a scope.

        Every digest is compared in constant time, whether or not an earlier one was right.

        Raises
        ------
        ApiError
            401 if the key is missing or wrong, 403 if it lacks the scope.
        """
        key = _key(headers)
        if key is None:
            raise _refusal("key_missing", _MISSING)
        digest = hashlib.sha256(key).hexdigest()
        known = self._digests if self._token is None else (*self._digests, self._token)
        right = [hmac.compare_digest(digest, each) for each in known]
        if not any(right) or not self._is_known_for(digest, scope):
            raise _refusal("key_wrong", "The API key is not valid.")
        if not self._has(digest, scope):
            raise ApiError(403, "scope_missing", _MAY_NOT[scope])
        return digest

    def _is_known_for(self, digest: str, scope: Scope) -> bool:
        """Return whether a digest is that of a key, or of the token where the token counts."""
        if digest in self._named:
            return True
        if scope == "refresh" and self._token is not None:
            return digest == self._token
        return digest in self._all

    def _has(self, digest: str, scope: Scope) -> bool:
        if scope in self._named.get(digest, ()):
            return True
        if scope == "refresh" and self._token is not None:
            return digest == self._token
        return digest in self._all


def _key(headers: Mapping[bytes, bytes]) -> bytes | None:
    authorization = headers.get(b"authorization", b"")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return headers.get(b"x-api-key")


def _refusal(code: str, message: str) -> ApiError:
    return ApiError(401, code, message, headers={"WWW-Authenticate": "Bearer"})
