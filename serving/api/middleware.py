"""The outermost layer: counts, bounds and secures every request, whatever it contains."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.errors import ApiError, DisconnectedError
from serving.api.wire.answers import error_answer
from serving.telemetry.exchange import Correlation, Exchange, correlate
from serving.telemetry.metrics import METHODS, OTHER, Metrics

Observe = Callable[[Exchange], str | None]

_log = logging.getLogger(__name__)
GONE = 499
# Where in the scope of a request its identifier is: what its client says, or one that is made.
REQUEST_ID = "perennial.request_id"
_REQUEST_ID_HEADER, _PARENT_HEADER = b"x-request-id", b"traceparent"
_CORRELATION = ("X-Request-Id", "traceparent", "tracestate")
_FRAMES = 6
FAILED = ApiError(500, "internal", "The service failed; the reason is in its log.")


class RequestGuard:
    """Outermost middleware: limits concurrency, counts requests and answers every failure.

    Parameters
    ----------
    app : ASGIApp
        Application for all other requests.
    direct : mapping of (str, str) to ASGIApp
        Applications by method and path that bypass the layers of `app`, which take as long as a
        short text.
    metrics : Metrics
        Counters of the requests.
    routes : mapping of str to str
        Names of paths in the metrics; a path that ends in ``/`` includes all paths below it.
    max_concurrency : int
        Maximum number of concurrent requests with a body.
    posted : mapping of str to str
        Names in the metrics of what is posted to a route -> that of the route.
    observe : callable, optional
        Told about each request that is answered; may return the traceparent of the answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        routes: Mapping[str, str],
        max_concurrency: int,
        direct: Mapping[tuple[str, str], ASGIApp],
        posted: Mapping[str, str],
        observe: Observe | None = None,
    ) -> None:
        self._app = app
        self._direct = dict(direct)
        self._metrics = metrics
        self._routes, self._posted = dict(routes), dict(posted)
        self._folders = tuple(path for path in routes if path.endswith("/") and path != "/")
        self._free = max_concurrency
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = perf_counter()
        path, method = scope["path"], scope["method"]
        route = self._routes.get(path) or self._folder(path)
        correlation = correlate(scope["headers"])
        scope[REQUEST_ID] = correlation.request_id

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(message, correlation, method, route, perf_counter() - begin)
            await send(message)

        app = self._direct.get((method, path))
        if method == "POST":
            route = self._posted.get(route, route)
        if method != "POST":
            await self._answer(scope, receive, counted)
        elif self._free == 0:
            await error_answer(_busy(), scope)(scope, receive, counted)
        else:
            self._free -= 1
            try:
                if app is None:
                    await self._answer(scope, receive, counted)
                else:
                    await self._answer_directly(app, scope, receive, counted)
            finally:
                self._free += 1

    def _note(
        self,
        answer: Message,
        correlation: Correlation,
        method: str,
        route: str,
        seconds: float,
    ) -> None:
        """Count an answer that begins, tell who observes, and say in it which request it is for."""
        status, parent = answer["status"], correlation.traceparent
        self._metrics.request(route, method, status, seconds)
        if self._observe is not None:
            name = method if method in METHODS else OTHER
            parent = self._observe(Exchange(correlation, name, route, status, seconds)) or parent
        headers = answer["headers"]
        headers.append((_REQUEST_ID_HEADER, correlation.request_id.encode()))
        if parent is not None:
            headers.append((_PARENT_HEADER, parent.encode()))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the application has answered that it failed
            _log_failure(self._routes.get(scope["path"], OTHER), scope[REQUEST_ID], error)

    async def _answer_directly(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer by an application that raises its errors instead of sending them."""
        try:
            await app(scope, receive, send)
        except ApiError as error:
            await error_answer(error, scope)(scope, receive, send)
        except DisconnectedError:
            await Response(status_code=GONE)(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - a failure is logged and answered
            _log_failure(self._routes[scope["path"]], scope[REQUEST_ID], error)
            await error_answer(FAILED, scope)(scope, receive, send)

    def _folder(self, path: str) -> str:
        for folder in self._folders:
            if path.startswith(folder):
                return self._routes[folder]
        return OTHER


def allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of other origins ask, and read what an answer says about itself."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "X-API-Key",
            *_CORRELATION,
            "X-Request-Key",
        ],
        expose_headers=["X-Request-Id", "Retry-After", "traceparent"],
    )


def _busy() -> ApiError:
    return ApiError(
        429,
        "too_many_requests",
        "Too many concurrent requests; retry in 1 second.",
        headers={"Retry-After": "1"},
    )


def _log_failure(route: str, request_id: str, error: Exception) -> None:
    """Log the place of a failure without its message, which may contain the client's input."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    places = [f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in frames]
    where = " < ".join(places[:_FRAMES])
    kind = type(error).__name__
    said = {"request_id": request_id, "route": route}
    _log.error("%s failed with %s in %s (request %s)", route, kind, where, request_id, extra=said)
