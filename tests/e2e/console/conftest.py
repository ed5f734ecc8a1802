"""The console on a machine with months of operation behind it, and Chromium to look at it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from starlette.applications import Starlette

from deployments.console.app import Console, Links, links
from deployments.console.board import Board
from deployments.console.histories import Histories, from_registry
from deployments.exporter import application
from perennial.settings import ConsoleSettings, Settings
from tests.conftest import free_port, wait_until
from tests.deployments.console.conftest import DIGEST
from tests.e2e.service_page.page import DESKTOP

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page


@contextmanager
def answering(app: Starlette) -> Iterator[str]:
    """Answer with an application, in a thread; yield its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, "the console answers")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def console(machine: Settings) -> Iterator[Callable[..., str]]:
    """A function that starts a console and returns its address."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(
            *, keys: tuple[str, ...] = (DIGEST,), shown: Links | None = None, **board_: Any
        ) -> str:
            settings = ConsoleSettings(api_key_hashes=keys, refresh_seconds=0.5)
            board = Board(machine, settings.refresh_seconds, **board_)
            board.start()
            stack.callback(board.end)
            made = Console(
                board,
                Histories(from_registry(machine)),
                settings,
                shown or links(machine, settings),
                machine.problems_dir.parent,
            )
            address = stack.enter_context(answering(application(machine, made, board)))
            wait_until(lambda: board.gathered, "the first facts are there")
            return address

        yield start


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A function that opens a page; at the end nothing may have been wrong in its console."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []
    expected: list[str] = []

    def open_(address: str, *, errors: str = "", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce"} | options)
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        if errors:
            expected.append(errors)
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [line for line in wrong if not any(known in line for known in expected)] == []
