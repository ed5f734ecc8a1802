"""Authentication by API keys and tokens, of which only digests are stored."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from serving.api.errors import ApiError

_BEARER = b"bearer "


def require(headers: Mapping[bytes, bytes], hashes: Sequence[str]) -> None:
    """Check that the key of a request has one of the digests.

    Every digest is compared in constant time, whether or not an earlier one was right.

    Raises
    ------
    ApiError
        401 if the key is missing or wrong.
    """
    key = _key(headers)
    if key is None:
        raise _refusal("key_missing", "Send an API key in the header Authorization: Bearer KEY.")
    digest = hashlib.sha256(key).hexdigest()
    right = [hmac.compare_digest(digest, known) for known in hashes]
    if not any(right):
        raise _refusal("key_wrong", "The API key is not valid.")


def _key(headers: Mapping[bytes, bytes]) -> bytes | None:
    authorization = headers.get(b"authorization", b"")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return headers.get(b"x-api-key")


def _refusal(code: str, message: str) -> ApiError:
    return ApiError(401, code, message, headers={"WWW-Authenticate": "Bearer"})
