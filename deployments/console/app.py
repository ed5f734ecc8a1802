"""The console as a web application: its pages, its files, and where decisions arrive."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from deployments.console import words
from deployments.console.access import READ_ONLY, RefusedError, require
from deployments.console.board import Board, Entry
from deployments.console.chart import LIVE_METRIC, Chart, draw
from deployments.console.decisions import SCOPES, Decision, carry_out, look_at
from deployments.console.histories import Histories, Kept
from perennial.errors import OutsideError
from perennial.libraries import MLFLOW_MODELS, configured_prefect_api
from perennial.redaction import redact, split_credentials
from perennial.settings import ConsoleSettings, Settings
from perennial.status.rules import STATES

_STATIC = Path(__file__).with_name("static")
# Wide for desks, narrow for phones: text in a picture that is scaled down could not be read.
_WIDTHS = (960.0, 340.0)
_MOST_BYTES = 10_000
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Links:
    """Where people open other programs; None where that is not known."""

    prefect: str | None
    mlflow: str | None
    grafana: str | None


def links(settings: Settings, console: ConsoleSettings) -> Links:
    """Return where people open Prefect, MLflow and Grafana."""
    api = configured_prefect_api()
    prefect = console.prefect_url or (api and split_credentials(api).uri.removesuffix("/api"))
    mlflow = settings.mlflow_ui_url or settings.mlflow_tracking_uri or ""
    mlflow = split_credentials(mlflow).uri.rstrip("/")
    is_page = mlflow.startswith(("http://", "https://"))
    return Links(prefect, mlflow if is_page else None, console.grafana_url)


class Console:
    """The pages of the console.

    Parameters
    ----------
    board : Board
        Facts about all problems; whoever makes it starts it.
    histories : Histories
        Histories of single problems.
    settings : ConsoleSettings
        API keys.
    links : Links
        Where people open other programs.
    folder : Path
        The folder of the project, which messages about files need not name.
    """

    def __init__(
        self,
        board: Board,
        histories: Histories,
        settings: ConsoleSettings,
        links: Links,
        folder: Path,
    ) -> None:
        self._board, self._histories = board, histories
        self._keys, self._links = settings.api_key_hashes, links
        self._templates = Environment(
            loader=PackageLoader("deployments.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= words.FILTERS
        self._templates.filters["redacted"] = words.shortener(folder)

    @property
    def routes(self) -> list[BaseRoute]:
        """Every path of the console, for a Starlette application."""
        files = StaticFiles(directory=_STATIC, follow_symlink=True)
        return [
            Route("/", self._home),
            Route("/console", self._overview),
            Mount("/console/static", _Secured(files), name="static"),
            Route("/console/runs/{run:uuid}", self._run),
            Route("/console/{problem}", self._problem),
            Route("/console/{problem}/decisions", self._decide, methods=["POST"]),
        ]

    async def _home(self, _: Request) -> Response:
        return RedirectResponse("/console", headers=_HEADERS)

    async def _overview(self, _: Request) -> Response:
        return self._page("overview.html.jinja", title="Console")

    async def _problem(self, request: Request) -> Response:
        name = request.path_params["problem"]
        gathered = self._board.gathered
        entry = gathered and gathered.entry(name)
        if gathered is None:
            return self._page("overview.html.jinja", title="Console")
        if not isinstance(entry, Entry):
            return self._page("missing.html.jinja", 404, title=name, name=name)
        kept = self._histories.get(name)
        return self._page(
            "problem.html.jinja",
            title=name,
            entry=entry,
            kept=kept,
            charts=_charts(entry, kept, datetime.now(UTC)),
        )

    def _page(self, template: str, status: int = 200, **values: Any) -> Response:
        gathered = self._board.read()
        html = self._templates.get_template(template).render(
            gathered=gathered,
            failed=self._board.failed,
            now=datetime.now(UTC),
            states=STATES,
            links=self._links,
            mlflow_models=MLFLOW_MODELS,
            read_only=None if self._can_decide else READ_ONLY,
            quote=lambda text: quote(text, safe=""),
            **values,
        )
        return HTMLResponse(html, status, headers=_HEADERS)

    @property
    def _can_decide(self) -> bool:
        return bool(self._keys)

    async def _decide(self, request: Request) -> Response:
        name = request.path_params["problem"]

        async def decide() -> dict[str, Any]:
            decision = await _decision(request)
            holder = require(request, self._keys, SCOPES[decision.action], name)
            self._require_problem(name)
            outcome = await run_in_threadpool(carry_out, name, decision, holder)
            _log.info(
                "%s of %s by %s (key %s): %s",
                decision.action,
                name,
                decision.by,
                holder.name,
                decision.why,
            )
            self._board.look_now()
            run = outcome.run
            return {"message": outcome.sentence, "run": None if run is None else run.id}

        return await _answer(decide)

    async def _run(self, request: Request) -> Response:
        async def look() -> dict[str, Any]:
            # Nobody without a key learns of runs by guessing their ids.
            require(request, self._keys, None)
            run, said = await run_in_threadpool(look_at, str(request.path_params["run"]))
            if run.is_over:
                self._board.look_now()
            return {**asdict(run), "at": run.at.isoformat(), "message": redact(said)}

        return await _answer(look)

    def _require_problem(self, name: str) -> None:
        gathered = self._board.gathered
        if gathered is None or gathered.entry(name) is None:
            raise RefusedError(404, f"There is no problem {name!r}.")


class _Secured:
    """Files with the headers of the pages; the browser asks each time whether one has changed."""

    def __init__(self, files: StaticFiles) -> None:
        self._files = files

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_secured(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = {**_HEADERS, "Cache-Control": "no-cache"}
                message["headers"] += [
                    (name.lower().encode(), value.encode()) for name, value in added.items()
                ]
            await send(message)

        await self._files(scope, receive, send_secured)


async def _answer(what: Callable[[], Awaitable[dict[str, Any]]]) -> Response:
    """Return what a function says as JSON; what is wrong is a sentence."""
    try:
        return JSONResponse(await what(), headers=_HEADERS)
    except RefusedError as error:
        return JSONResponse({"message": str(error)}, error.status, headers=_HEADERS)
    except OutsideError as error:
        return JSONResponse({"message": redact(str(error))}, 503, headers=_HEADERS)


async def _decision(request: Request) -> Decision:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RefusedError(415, "Send the decision as application/json.")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise RefusedError(413, f"A decision has at most {_MOST_BYTES:,} bytes.")
    try:
        return Decision.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "decision"
        raise RefusedError(422, f"{where}: {first['msg']}.") from None


def _charts(entry: Entry, kept: Kept | None, now: datetime) -> list[Chart]:
    """Return the pictures of a history: accuracy with live quality, then the problem's metric."""
    if kept is None or kept.history is None:
        return []
    metrics = dict.fromkeys([LIVE_METRIC, entry.facts.metric or LIVE_METRIC])
    drawn = [draw(kept.history, metric, now, width) for metric in metrics for width in _WIDTHS]
    return [chart for chart in drawn if chart is not None]
