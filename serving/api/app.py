"""The API: its routes, and the machinery behind them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache, partial
from http import HTTPStatus

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from perennial.promotion.figure import Selection, Since, best_figure
from perennial.registry.model_version import CANARY, PREVIOUS, PRODUCTION
from perennial.settings import ServingSettings, Settings
from serving.api.auth import ApiKeys
from serving.api.classify import Classify
from serving.api.description.openapi import VERSION, openapi
from serving.api.description.page import html
from serving.api.errors import ApiError, DisconnectedError
from serving.api.feedback import FeedbackEndpoint
from serving.api.middleware import FAILED, GONE, Observe, RequestGuard, allow_origins
from serving.api.outcomes import CLASSIFY, announce
from serving.api.protocols.mlflow import MlflowScoring
from serving.api.protocols.open_inference import OpenInference
from serving.api.schemas import (
    Alias,
    FieldValues,
    Input,
    Model,
    ModelsAnswer,
    ReadyAnswer,
    ReadyModel,
    RefreshAnswer,
    Version,
)
from serving.api.static import INDEX, File, page_file, read_files
from serving.api.wire.answers import INFERENCE, SECURITY_HEADERS, error_answer, json_answer
from serving.api.wire.packing import takes_packed
from serving.models.loaded import Loaded, Served
from serving.models.store import ModelStore
from serving.models.watcher import Watcher
from serving.problem_files import ProblemFiles
from serving.telemetry.exchange import Exchange
from serving.telemetry.log import PredictionLog
from serving.telemetry.logs import write_access
from serving.telemetry.metrics import METRICS_TYPE, Metrics, MetricsPort
from serving.telemetry.tracing import Tracing, is_wanted

# Together less than the startup probe of the Deployment waits.
_INFORMED_SECONDS, _LOADING_SECONDS = 10.0, 30.0
_REFRESH_SECONDS = 3.5
_SWITCH_SECONDS = 0.0005
_STATIC = "/static/"
_ALIVE = b'{"alive":true}'


class Service:
    """All parts of one worker.

    Parameters
    ----------
    settings : Settings
        Addresses of the registry, MongoDB and the data folder.
    serving : ServingSettings
        Limits and policies.
    """

    def __init__(self, settings: Settings, serving: ServingSettings) -> None:
        self._serving = serving
        self._problems_dir = settings.problems_dir
        folder = settings.data_dir / "serving"
        self.metrics = Metrics()
        self.store = ModelStore(folder / "models", self.metrics, ProblemFiles(settings))
        self.watcher = Watcher(self.store, folder, self.metrics, serving.poll_seconds)
        self.log = PredictionLog(settings, serving, self.metrics)
        self._keys = ApiKeys(serving.api_key_hashes, serving.refresh_token_hash)
        self._classify = Classify(self.store, self.log, self.metrics, serving, self._keys)
        self._port = MetricsPort(serving.metrics_host, serving.metrics_port)
        self._tracing = Tracing() if is_wanted() else None
        self._files = read_files()
        description = openapi(serving)
        self._description = page_file("openapi.json", description)
        self._docs_of = lru_cache(1)(partial(_docs_page, description))
        self.app = self._build()

    def start(self) -> None:
        """Start the watcher of the registry and the writer of the log."""
        # A thread that loads a model lets requests pass this often, not every 5 ms.
        sys.setswitchinterval(_SWITCH_SECONDS)
        for file in self._problems_dir.glob("*.yaml"):
            self.metrics.announce_problem(file.stem)
        self.watcher.start()
        self.log.start()
        self._port.start(self.metrics)

    def wait_until_informed(self) -> None:
        """Wait a limited time until the registry or the cache has said whether there is a model.

        The workers of a machine share its port: one that answered without a model while another
        has it already would refuse requests to a service that says it is ready.
        """
        self.watcher.wait_until_informed(_INFORMED_SECONDS, _LOADING_SECONDS)

    def end(self) -> None:
        """Stop all threads, and write the entries that still wait."""
        self.watcher.end()
        self._port.end()
        self._classify.end()
        self.log.end()
        if self._tracing is not None:
            self._tracing.end()

    def _build(self) -> ASGIApp:
        versioned = self._versioned()
        doors = [
            *MlflowScoring(self._classify, self.store).routes(),
            *OpenInference(self._classify, self.store).routes(),
        ]
        others = [
            Route("/openapi.json", self._openapi),
            Route("/docs", self._docs),
            Route("/", self._page),
            Route(_STATIC + "{path:path}", self._static),
        ]
        again = [
            Route(f"{VERSION}{route.path}", route.endpoint, methods=route.methods)
            for route in versioned
        ]
        app = Starlette(
            routes=[*versioned, *again, *doors, *others],
            exception_handlers={
                ApiError: _refuse,
                DisconnectedError: _note_disconnect,
                HTTPException: _refuse_by_framework,
                Exception: _admit_failure,
            },
        )
        app.router.redirect_slashes = False
        names = {
            **{route.path: route.path for route in (*versioned, *others[:-1])},
            **{f"{VERSION}{route.path}": route.path for route in versioned},
            _STATIC: f"{_STATIC}*",
            "/ping": "/ping",
            INFERENCE: f"{INFERENCE}/*",
            f"{INFERENCE}/": f"{INFERENCE}/*",
            # A prediction counts as one, by whichever door it is asked for.
            "/invocations": CLASSIFY,
        }
        announce(self.metrics, set(names.values()))
        paths = (CLASSIFY, f"{VERSION}{CLASSIFY}")
        guard: ASGIApp = RequestGuard(
            app,
            self.metrics,
            names,
            self._serving.max_concurrency,
            direct={("POST", path): self._classify for path in paths},
            posted={f"{INFERENCE}/*": CLASSIFY},
            observe=self._observer(),
        )
        if self._serving.cors_origins:
            return allow_origins(guard, self._serving.cors_origins)
        return guard

    def _observer(self) -> Observe | None:
        """Return what is told about each request; None if nobody wants to know."""
        record = None if self._tracing is None else self._tracing.record
        if not self._serving.access_log:
            return record

        def observe(exchange: Exchange) -> str | None:
            write_access(exchange)
            return None if record is None else record(exchange)

        return observe

    def _versioned(self) -> list[Route]:
        """Return the routes of our own API, which stand below its version and without it."""
        feedback = FeedbackEndpoint(self.store, self.log, self._serving, self._keys)
        routes = [
            Route(CLASSIFY, self._classify, methods=["POST"]),
            Route("/feedback", feedback.answer, methods=["POST"]),
            Route("/refresh", self._refresh, methods=["POST"]),
            Route("/models", self._models),
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
        ]
        if self._serving.metrics_port is None:
            routes.append(Route("/metrics", self._metrics))
        return routes

    async def _refresh(self, request: Request) -> Response:
        """Poll the registry now, in all workers of this machine."""
        if not self._keys and self._serving.refresh_token_hash is None:
            message = "Set SERVING_REFRESH_TOKEN_HASH to allow POST /refresh."
            raise ApiError(401, "no_token_set", message)
        self._keys.require(_headers(request), "refresh")
        await anyio.to_thread.run_sync(self.watcher.refresh, _REFRESH_SECONDS)
        numbers = {
            served.problem: served.production.version.version
            for served in self.store.served.values()
        }
        return json_answer(200, RefreshAnswer(models=numbers).model_dump_json().encode())

    async def _models(self, request: Request) -> Response:
        """Answer with the models and versions that are served."""
        may_classify = partial(self._keys.allow, _headers(request), "classify")
        return json_answer(200, self._described(may_classify))

    def _described(self, with_values: Callable[[str], bool]) -> bytes:
        """Return what is served, with the values that are in documents or without them."""
        models = [
            model if with_values(model.model) else model.model_copy(update={"values": {}})
            for model in (_describe(served) for _, served in sorted(self.store.served.items()))
        ]
        return ModelsAnswer(models=models).model_dump_json().encode()

    async def _livez(self, _: Request) -> Response:
        """Answer that this worker runs."""
        return json_answer(200, _ALIVE)

    async def _readyz(self, _: Request) -> Response:
        """Answer whether there is a model, with the versions and origins of all models."""
        served = [served.production for _, served in sorted(self.store.served.items())]
        # As long as others may still come, requests that name no model are not answered.
        is_ready = self.store.knows(None)
        answer = ReadyAnswer(
            ready=is_ready,
            registry=self.watcher.registry,
            models=[
                ReadyModel(
                    model=loaded.version.problem,
                    version=loaded.version.version,
                    origin=loaded.origin,
                )
                for loaded in served
            ],
        )
        return json_answer(200 if is_ready else 503, answer.model_dump_json().encode())

    async def _metrics(self, request: Request) -> Response:
        """Answer with the metrics of all workers, to everybody unless a key is meant for them."""
        if self._keys.asks_for("metrics"):
            self._keys.require(_headers(request), "metrics")
        content = await anyio.to_thread.run_sync(self.metrics.exposition)
        return Response(content, headers={**SECURITY_HEADERS, "Content-Type": METRICS_TYPE})

    async def _openapi(self, request: Request) -> Response:
        """Answer with the description of the API."""
        return _send_file(request, self._description)

    async def _docs(self, request: Request) -> Response:
        """Answer with the description of the API for people, and of these very models."""
        address = f"{request.url.scheme}://{request.url.netloc}"
        # A browser that opens a page sends no key.
        described = self._described(lambda _: not self._keys)
        return _send_file(request, self._docs_of(described, address))

    async def _page(self, request: Request) -> Response:
        """Answer with the page."""
        return self._send(request, INDEX)

    async def _static(self, request: Request) -> Response:
        """Answer with a file of the page."""
        return self._send(request, request.path_params["path"])

    def _send(self, request: Request, name: str) -> Response:
        file = self._files.get(name)
        if file is None:
            raise ApiError(404, "not_found", "This file does not exist.")
        return _send_file(request, file)


def _docs_page(description: bytes, models: bytes, address: str) -> File:
    """Return the page of the API; it is made anew when other versions are served."""
    served = ModelsAnswer.model_validate_json(models).models
    return page_file("docs.html", html(description, served, address))


def _send_file(request: Request, file: File) -> Response:
    headers = {**SECURITY_HEADERS, **file.headers}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    if file.packed and takes_packed(request.headers.get("accept-encoding", "").encode()):
        return Response(file.packed, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.content, headers=headers)


def _describe(served: Served) -> Model:
    production = served.production
    named: tuple[tuple[Alias, Loaded | None], ...] = (
        (PRODUCTION, production),
        (PREVIOUS, served.previous),
        (CANARY, served.canary),
    )
    return Model(
        model=served.problem,
        kind=production.kind,
        fields=None if production.fields is None else dict(production.fields),
        required=list(production.required),
        values={name: FieldValues(**vars(known)) for name, known in production.known.items()},
        examples=[each for each in served.examples if _is_of(production, each)],
        classes=list(production.predictor.classes),
        versions=[_describe_version(alias, loaded) for alias, loaded in named if loaded],
    )


def _is_of(loaded: Loaded, example: Input) -> bool:
    """Return whether a model takes an example: its problem's file may have changed since."""
    if isinstance(example, str) or loaded.fields is None:
        return isinstance(example, str) and loaded.fields is None
    return example.keys() <= loaded.fields.keys()


def _describe_version(alias: Alias, loaded: Loaded) -> Version:
    version = loaded.version
    return Version(
        alias=alias,
        version=version.version,
        since=version.since(alias),
        loaded=True,
        share=version.share if alias == CANARY else None,
        metrics=version.metrics,
        corrected=best_figure(version.selection(Selection), version.since_made(Since)),
        threshold=version.threshold,
    )


def _headers(request: Request) -> dict[bytes, bytes]:
    return dict(request.scope["headers"])


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_answer(error, request.scope)


async def _note_disconnect(_: Request, __: Exception) -> Response:
    return Response(status_code=GONE)


async def _refuse_by_framework(request: Request, error: Exception) -> Response:
    """Answer the errors of Starlette's router: unknown paths and methods that are not allowed."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"This path accepts only {allowed}."
        refusal = ApiError(405, "wrong_method", message, headers=error.headers)
    else:
        refusal = ApiError(404, "not_found", "This path does not exist; see /docs.")
    return error_answer(refusal, request.scope)


async def _admit_failure(request: Request, __: Exception) -> Response:
    return error_answer(FAILED, request.scope)
