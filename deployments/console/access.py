"""Who may decide: requests of the console's own page, with an API key that has the scope."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import Request

from perennial.settings.api_keys import Holder, Holders

_BEARER = "bearer "
_SAME = "same-origin"
READ_ONLY = (
    "The console only shows: CONSOLE_API_KEY_HASHES is not set where it runs, so nobody can decide "
    "here. The commands of perennial can."
)


class RefusedError(Exception):
    """A request is refused: its message is for people, its status for programs."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def require(
    request: Request, entries: Sequence[str], scope: str | None, problem: str | None = None
) -> Holder:
    """Return the holder of a request's API key, after checking that it has a scope for a problem.

    Without a scope any valid key will do.

    Raises
    ------
    RefusedError
        If no key is configured, another page sends the request, or the key is missing, wrong or
        without the scope or the problem.
    """
    if not entries:
        raise RefusedError(403, READ_ONLY)
    _require_own_page(request)
    authorization = request.headers.get("authorization", "")
    if authorization[: len(_BEARER)].lower() != _BEARER:
        raise RefusedError(401, "Enter an API key of the console.")
    holder = Holders(entries).find(authorization[len(_BEARER) :].strip().encode())
    if holder is None:
        raise RefusedError(401, "The API key is not valid.")
    if scope is not None and not holder.may(scope):
        raise RefusedError(
            403, f"This API key may not do that; its entry in CONSOLE_API_KEY_HASHES lacks {scope}."
        )
    if scope is not None and not holder.may(scope, problem):
        raise RefusedError(
            403,
            f"This API key may not do that with {problem!r}; its entry in CONSOLE_API_KEY_HASHES "
            "names other problems.",
        )
    return holder


def _require_own_page(request: Request) -> None:
    """Refuse what a page of another origin sends; programs send neither of these headers."""
    site = request.headers.get("sec-fetch-site", _SAME)
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    if site != _SAME or (origin is not None and urlsplit(origin).netloc != host):
        raise RefusedError(403, "Only the console's own page may send this.")
