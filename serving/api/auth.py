"""Authentication by API keys and tokens, of which only digests are stored, and what each may do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

from starlette.types import Scope as HttpScope

from perennial.settings.api_keys import Holder, Holders, read_grant
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
        Digests of the keys, each followed by what it may do; see `Holders`.
    refresh_token : str, optional
        Digest of a token for the scope ``refresh``. With it, only keys that name this scope
        have it.
    """

    def __init__(self, entries: Sequence[str], refresh_token: str | None = None) -> None:
        self._scoped = [entry for entry in entries if ":" in entry]
        # Most keys are for all problems, and their requests are spared a second look.
        self._has_problems = any("@" in entry for entry in entries)
        self._holders = self._refreshing = Holders(entries)
        if refresh_token is not None:
            self._refreshing = Holders([*self._scoped, f"{refresh_token}:refresh"])

    def __bool__(self) -> bool:
        return bool(self._holders)

    def asks_for(self, scope: Scope) -> bool:
        """Return whether any key names a scope."""
        return any(scope in (read_grant(entry).scopes or ()) for entry in self._scoped)

    def allow(self, headers: Mapping[bytes, bytes], scope: Scope, problem: str) -> bool:
        """Return whether a request has a key with a scope for a problem, or none are asked for."""
        if not self:
            return True
        holder = self._find(headers)
        return holder is not None and holder.may(scope, problem)

    def require(self, headers: Mapping[bytes, bytes], scope: Scope) -> str:
        """Return the digest of a request's key, after checking that the key has a scope.

        Raises
        ------
        ApiError
            401 if the key is missing or wrong, 403 if it lacks the scope.
        """
        key = _key(headers)
        if key is None:
            raise _refusal("key_missing", _MISSING)
        holder = (self._refreshing if scope == "refresh" else self._holders).find(key)
        if holder is None:
            raise _refusal("key_wrong", "The API key is not valid.")
        if not holder.may(scope):
            raise ApiError(403, "scope_missing", _MAY_NOT[scope])
        return holder.digest

    def require_problem(
        self, headers: Mapping[bytes, bytes], scope: Scope, problem: str, field: str
    ) -> None:
        """Check that the key of a request, which has a scope, has it for a problem.

        Raises
        ------
        ApiError
            403 if its entries name others; `field` is what of the request names the problem.
        """
        if not self._has_problems:
            return
        holder = self._find(headers)
        if holder is None or not holder.may(scope, problem):
            message = f"This API key may not use the model {problem}; its entry names others."
            raise ApiError(403, "model_not_allowed", message, field=field)

    def _find(self, headers: Mapping[bytes, bytes]) -> Holder | None:
        key = _key(headers)
        return None if key is None else self._holders.find(key)


def sender(scope: HttpScope, *, has_key: bool) -> str:
    """Return who sends a request: the digest of its key where keys are asked for, or its address.

    Parameters
    ----------
    scope : Scope
        Of a request that was heard.
    has_key : bool
        Whether the service asks for keys; what nobody checks can be made up.
    """
    key = _key(dict(scope["headers"])) if has_key else None
    if key is not None:
        return hashlib.sha256(key).hexdigest()
    address = scope.get("client")
    return "" if address is None else str(address[0])


def _key(headers: Mapping[bytes, bytes]) -> bytes | None:
    authorization = headers.get(b"authorization", b"")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return headers.get(b"x-api-key")


def _refusal(code: str, message: str) -> ApiError:
    return ApiError(401, code, message, headers={"WWW-Authenticate": "Bearer"})
