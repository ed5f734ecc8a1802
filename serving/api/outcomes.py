"""Which statuses each route may answer with: what is counted from zero before the first request."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus

from serving.api.middleware import GONE
from serving.telemetry.metrics import METHODS, OTHER, Metrics

# A body that is not there in time, is too large, no JSON or not declared as such, has a wrong
# value, no key with it or one that may not, comes when too many are in hand, or from a client that
# went away.
CLASSIFY = "/classify"
_BODY = (400, 401, 403, 408, 413, 415, 422, 429, GONE, 500)
_POSTED = {
    CLASSIFY: (200, 404, 503, *_BODY),
    "/feedback": (202, 404, 410, 503, *_BODY),
    "/refresh": (200, 401, 403, 429, 500),
}
_READ = {
    "/readyz": (200, 503, 500),
    "/ping": (200, 503, 500),
    "/v2/*": (200, 404, 503, 500),
    "/metrics": (200, 401, 403, 500),
    "/docs": (200, 304, 500),
    "/": (200, 304, 500),
    "/static/*": (200, 304, 404, 500),
}
_READ_ANYWHERE = (200, 500)


def announce(metrics: Metrics, routes: Collection[str]) -> None:
    """Let the requests to these routes be counted from zero, whatever becomes of them."""
    for route in (*routes, OTHER):
        for method in (*METHODS, OTHER):
            metrics.announce_requests(route, method, statuses(route, method))


def statuses(route: str, method: str) -> tuple[int, ...]:
    """Return the statuses with which a route may answer a method.

    Parameters
    ----------
    route : str
        The name under which the route is counted.
    method : str
        One of `METHODS`, or `OTHER` for any that is none of them.
    """
    if route == OTHER:
        found: tuple[int, ...] = (HTTPStatus.NOT_FOUND,)
    elif route in _POSTED:
        found = _POSTED[route] if method == "POST" else (HTTPStatus.METHOD_NOT_ALLOWED,)
    elif method in {"GET", "HEAD"}:
        found = _READ.get(route, _READ_ANYWHERE)
    else:
        found = (HTTPStatus.METHOD_NOT_ALLOWED,)
    # Too many requests in hand are turned away before anybody looks where they go.
    if method == "POST" and HTTPStatus.TOO_MANY_REQUESTS not in found:
        found = (*found, HTTPStatus.TOO_MANY_REQUESTS)
    return found
