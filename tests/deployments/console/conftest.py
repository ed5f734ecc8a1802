"""A console on a machine with one problem, as a person's browser and other programs see it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from deployments.console.app import Console, Links
from deployments.console.board import Board
from deployments.console.histories import Histories, from_registry
from deployments.exporter import application
from perennial.config.problem import Problem
from perennial.settings import ConsoleSettings, Settings
from tests.deployments.console.stage import Stage

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "the key of the person who decides"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()
NO_LINKS = Links(None, None, None)


@pytest.fixture
def stage(machine: Settings, problem: Problem, client: MlflowClient) -> Stage:
    """What writes into the registry of the machine, which has the problem ``reviews``."""
    return Stage(machine, client)


@pytest.fixture
def open_console(machine: Settings) -> Callable[..., TestClient]:
    """A function that returns a client of a console that has looked once."""

    def open_(
        *, keys: tuple[str, ...] = (), links: Links = NO_LINKS, looks: bool = True, **board: Any
    ) -> TestClient:
        made = Board(machine, 3600, **board)
        if looks:
            made.gather()
        histories = Histories(from_registry(machine))
        settings = ConsoleSettings(api_key_hashes=keys)
        folder = machine.problems_dir.parent
        console = Console(made, histories, settings, links, folder)
        app: Starlette = application(machine, console, made)
        return TestClient(app, base_url="http://console", follow_redirects=False)

    return open_
