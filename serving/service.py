"""The BentoML service: ``bentoml serve serving.service:Classifier``.

BentoML runs the workers; everything that a request meets is the application in
`serving.api.app`. Its
tracing, access log, metrics and adaptive batching cost more than an answer does, and are off.
"""

from __future__ import annotations

import gc
from typing import Any, cast

import anyio.to_thread
import bentoml
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from perennial.errors import OutsideError
from perennial.packages.private_parts import PrivatePart
from perennial.settings import get_serving_settings, get_settings
from serving.runtime.connections import patch_uvicorn, require_uvicorn
from serving.runtime.limits import ConnectionLimits
from serving.runtime.supervision import patch_circus
from serving.telemetry.logs import configure

_STACK = PrivatePart("starlette", "starlette.applications", "Starlette.middleware_stack")
# BentoML's own limit is the last one: what is slower has been answered here before.
_TIMEOUT_SECONDS = 5


class BypassMiddleware:
    """Answers every request in place of BentoML's own layers and routes.

    Some of its routes have our paths, and its timeout costs a task and a timer per request.
    """

    def __init__(self, app: ASGIApp) -> None:
        # The process that starts the workers imports this module, too, and answers nothing.
        from serving.api.app import Service

        self._bentoml = app
        configure(get_serving_settings().log_format or get_settings().log_format)
        self._service = Service(get_settings(), get_serving_settings())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer requests; leave the rest to BentoML."""
        if scope["type"] == "http":
            await self._service.app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self._bentoml(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run from the start of the worker to its end, when its last request is answered."""
        try:
            _STACK.require_on(scope.get("app"))
        except OutsideError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        # From now on requests come here first. Without this line they come later, and no less sure.
        scope["app"].middleware_stack = self
        # What is imported now stays: looking through it for garbage is a third of the start.
        gc.disable()
        self._service.start()
        await anyio.to_thread.run_sync(self._service.wait_until_informed)
        gc.freeze()
        gc.enable()
        try:
            await self._bentoml(scope, receive, send)
        finally:
            await anyio.to_thread.run_sync(self._service.end)


@bentoml.service(
    name="perennial",
    workers=get_serving_settings().workers,
    traffic={"timeout": _TIMEOUT_SECONDS},
    tracing={"excluded_urls": ".*"},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Classifier:
    """Classifies with whatever is in Production."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def supervise() -> None:
        """Replace workers that die; called once, in the process that starts them.

        What the workers replace is checked here, too: a worker that fails is started again.
        """
        _STACK.require_on(Starlette())
        require_uvicorn()
        patch_circus()


cast("bentoml.Service[Any]", Classifier).add_asgi_middleware(BypassMiddleware)
# A worker starts its server right after it has imported this, and asks nobody in between.
patch_uvicorn(ConnectionLimits.of(get_serving_settings()))
