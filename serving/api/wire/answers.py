"""Answers as they are sent: JSON with the headers of every answer, and refusals in three forms."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from starlette.responses import Response
from starlette.types import Scope, Send

from serving.api.errors import ApiError
from serving.api.wire.packing import pack, takes_packed

PROBLEM = "application/problem+json"
# Below it lies the open inference protocol, whose errors have a form of their own.
INFERENCE = "/v2"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_JSON_HEADERS = {"Content-Type": "application/json", **SECURITY_HEADERS}
_RAW_HEADERS = tuple(
    (name.lower().encode(), value.encode()) for name, value in _JSON_HEADERS.items()
)
_PACKED_HEADERS = ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))
# A smaller answer is sent before it is packed.
_WORTH_PACKING = 65_536


async def send_json(send: Send, body: bytes, headers: Mapping[bytes, bytes]) -> None:
    """Send a JSON answer of success; a large one packed if the request's headers allow it."""
    more: tuple[tuple[bytes, bytes], ...] = ()
    if len(body) >= _WORTH_PACKING and takes_packed(headers.get(b"accept-encoding", b"")):
        body, more = await pack(body), _PACKED_HEADERS
    length = (b"content-length", b"%d" % len(body))
    sent = [length, *_RAW_HEADERS, *more]
    await send({"type": "http.response.start", "status": 200, "headers": sent})
    await send({"type": "http.response.body", "body": body})


def json_answer(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    return Response(body, status, headers={**_JSON_HEADERS, **(headers or {})})


def error_answer(error: ApiError, scope: Scope) -> Response:
    """Return the answer to a request that fails, in the form that it asks for.

    That is our own; with ``Accept: application/problem+json`` the one of RFC 9457; below ``/v2``
    the one of the open inference protocol.
    """
    path: str = scope["path"]
    if path == INFERENCE or path.startswith(f"{INFERENCE}/"):
        body = {"error": error.message}
        return json_answer(error.status, orjson.dumps(body), error.headers)
    detail = {"code": error.code, "message": error.message, "field": error.field}
    errors = {"errors": error.errors} if error.errors else {}
    if PROBLEM.encode() in dict(scope["headers"]).get(b"accept", b""):
        problem = {
            "type": "about:blank",
            "title": HTTPStatus(error.status).phrase,
            "status": error.status,
            "detail": error.message,
            "code": error.code,
            "field": error.field,
        }
        headers = {**error.headers, "Content-Type": PROBLEM}
        return json_answer(error.status, orjson.dumps({**problem, **errors}), headers)
    return json_answer(error.status, orjson.dumps({"error": detail, **errors}), error.headers)
