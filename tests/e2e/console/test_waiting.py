"""A question waits for longer than Prefect leases a slot, and is answered in the console.

Everything is real: the Prefect server of `make up`, whose leases are the shortest that it allows,
a worker, deployments, and Chromium.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.processes import processes
from perennial.config.problem import Problem
from perennial.registry.client import Registry
from perennial.settings import PROJECT, OperationSettings, ServingSettings, Settings
from tests.conftest import free_port, wait_until
from tests.deployments.console.conftest import KEY

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(1500)]
LEASE = timedelta(seconds=30)
ASKED = {"promotion": "approve"}
# It is over before anybody can answer.
AT_ONCE = ASKED | {"answer_within": "PT0.001S"}
# Of a run, on a busy machine.
PATIENCE = 300


@contextmanager
def running(command: tuple[str, ...], log: Path, **environment: str) -> Iterator[None]:
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, cwd=PROJECT, env={**os.environ, **environment}, stdout=file, stderr=file
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def api(tmp_path: Path, machine: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of Prefect's API, where a worker carries out what is asked for."""
    operation = OperationSettings(prefect_port=free_port())
    table = processes(machine, operation, ServingSettings())
    prefect = next(each for each in table if each.name == "prefect")
    lease = {
        "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": str(LEASE.seconds),
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }
    address = f"{prefect.address}/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    worker = (sys.executable, "-m", "prefect", "worker", "start", "--pool", "perennial")
    with running(prefect.command, tmp_path / "prefect.log", **{**prefect.environment, **lease}):
        wait_until(prefect.is_healthy, "Prefect answers", seconds=120)
        with (
            temporary_settings({PREFECT_API_URL: address}),
            running((*worker, "--type", "process"), tmp_path / "worker.log"),
        ):
            yield address


def decide(page: Page, button: str, confirm: str) -> None:
    """Decide something in the dialog, and wait until the run that carries it out is over."""
    page.get_by_role("button", name=button, exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Who decides").fill("on call")
    dialog.get_by_label("Why").fill("I read fifty answers")
    if dialog.get_by_label("API key").is_visible():
        dialog.get_by_label("API key").fill(KEY)
    dialog.get_by_role("button", name=confirm, exact=True).click()
    dialog.wait_for(state="hidden")
    over = re.compile("Done: the run has ended as completed|It failed")
    page.get_by_text(over).wait_for(timeout=PATIENCE * 1000)
    assert "Done" in page.locator("#outcome").inner_text()


def test_what_waits_longer_than_two_leases_is_refused_left_or_promoted(
    api: str,
    write_problem: Callable[..., Problem],
    registry: Registry,
    collection: Any,
    documents: Callable[..., list[dict[str, Any]]],
    console: Callable[..., str],
    visit: Callable[..., Page],
) -> None:
    def apply(gates: Mapping[str, str]) -> None:
        write_problem(gates=gates)
        subprocess.run([sys.executable, "-m", "deployments.apply"], cwd=PROJECT, check=True)

    def waits_longer_than_two_leases(version: int) -> None:
        question = registry.version("reviews", version).question
        assert question is not None
        over = question.asked + 2 * LEASE
        wait_until(lambda: datetime.now(UTC) > over, "two leases are over", seconds=90)
        runs = httpx.post(f"{api}/flow_runs/filter", json={}).json()
        assert {run["state"]["type"] for run in runs if run["state"]["type"] != "SCHEDULED"} == {
            "COMPLETED"
        }
        limits = httpx.post(f"{api}/v2/concurrency_limits/filter", json={"limit": 200}).json()
        assert [limit["name"] for limit in limits if limit["active_slots"]] == []

    collection.insert_many(documents(300))
    apply(ASKED)
    page = visit(console() + "/console/reviews")
    decide(page, "Retrain now", "Retrain")
    waits_longer_than_two_leases(1)
    decide(page, "Refuse", "Refuse")

    apply(AT_ONCE)
    decide(page, "Retrain now", "Retrain")
    apply(ASKED)
    collection.insert_many(documents(100, first=300))
    decide(page, "Retrain now", "Retrain")
    waits_longer_than_two_leases(3)
    decide(page, "Approve version 3", "Approve")

    refused, left, approved = (registry.version("reviews", number) for number in (1, 2, 3))
    assert str(refused.answer).startswith("no, by on call (console key")
    assert str(left.answer).startswith("no, by nobody: no answer until")
    assert str(approved.answer).startswith("yes, by on call (console key")
    production = registry.production("reviews")
    assert production is not None
    assert production.version == 3
    assert len(registry.history("reviews")) == 1
