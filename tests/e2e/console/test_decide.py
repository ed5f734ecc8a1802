"""A person decides in the console, by keyboard, and the decision is carried out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from perennial.config.problem import Problem
from perennial.registry.client import Registry
from perennial.settings import PROJECT, Settings
from tests.conftest import wait_until
from tests.deployments.console.conftest import DIGEST, KEY

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def run(prefect_api: str, *command: str) -> str:
    """Run a program as a person or a worker does, to its end."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=PROJECT,
        env=os.environ | {"PREFECT_API_URL": prefect_api},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def asked_for(prefect_api: str) -> str:
    """The id of the run that the console has asked for, and that nobody has begun."""
    waiting = {"state": {"type": {"any_": ["SCHEDULED"]}}, "tags": {"all_": ["console"]}}
    wanted = {"flow_runs": waiting}

    def found() -> list[dict[str, Any]]:
        return httpx.post(f"{prefect_api}/flow_runs/filter", json=wanted).json()

    (only,) = wait_until(found, "the console has asked for a run")
    return str(only["id"])


def press(page: Page, key: str, until: str) -> None:
    """Press a key until an element has the focus."""
    for _ in range(40):
        page.keyboard.press(key)
        if page.locator(f"{until}:focus").count():
            return
    pytest.fail(f"{key} does not lead to {until}")


def test_an_approval_by_keyboard_promotes_and_history_says_who_and_why(
    prefect_api: str,
    write_problem: Callable[..., Problem],
    registry: Registry,
    machine: Settings,
    collection: Any,
    documents: Callable[..., list[dict[str, Any]]],
    console: Callable[..., str],
    visit: Callable[..., Page],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_problem(gates={"promotion": "approve"})
    collection.insert_many(documents(300))
    run(prefect_api, "deployments.apply")
    assert "waits" in run(prefect_api, "flows", "retrain", "reviews")
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    page = visit(console() + "/console", errors="401")
    page.get_by_text("Version 1 waits for an answer").wait_for()

    press(page, "Tab", "a[href='/console/reviews']")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Approve version 1").wait_for()
    press(page, "Tab", "[data-action=approve]")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    page.keyboard.type("on call")
    page.keyboard.press("Tab")
    page.keyboard.type("I read fifty answers")
    page.keyboard.press("Tab")
    page.keyboard.type("a wrong key")
    page.keyboard.press("Enter")
    page.get_by_text("The API key is not valid.").wait_for()
    # The field of the key has the focus again.
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    page.get_by_text("The yes is on its way").wait_for()

    run(prefect_api, "prefect", "flow-run", "execute", asked_for(prefect_api))

    page.get_by_text("Done: the run has ended as completed.").wait_for(timeout=30_000)
    page.locator("#facts dd", has_text="version 1 since").wait_for()
    production = registry.production("reviews")
    assert production is not None
    who = f"on call (console key {DIGEST[:8]})"
    assert (production.version, production.answer) == (1, f"yes, by {who}: I read fifty answers")
    assert registry.history("reviews")[-1].by == who
    page.locator(".changes li", has_text=who).wait_for()
    assert page.get_by_role("button", name="Approve").count() == 0


def test_what_is_of_no_use_is_dropped_from_quarantine_and_taken_back(
    prefect_api: str,
    problem: Problem,
    machine: Settings,
    collection: Any,
    documents: Callable[..., list[dict[str, Any]]],
    console: Callable[..., str],
    visit: Callable[..., Page],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    greetings = [{**each, "text": "Hello there"} for each in documents(3, first=1000)]
    unlabelled = [{**each, "label": None} for each in documents(2, first=1100)]
    collection.insert_many([*documents(300), *greetings, *unlabelled])
    run(prefect_api, "deployments.apply")
    run(prefect_api, "flows", "retrain", "reviews")
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    page = visit(console() + "/console/reviews")
    quarantine = page.locator("#facts dd", has_text="of 305")

    page.get_by_role("button", name="Drop from quarantine").click()
    dialog = page.get_by_role("dialog", name="Drop from quarantine?")
    dialog.get_by_label("Documents").select_option("text is too short: 3 documents")
    dialog.get_by_label("Who decides").fill("on call")
    dialog.get_by_label("Why").fill("greetings, not reviews")
    dialog.get_by_label("API key").fill(KEY)
    dialog.get_by_role("button", name="Drop").click()
    page.get_by_text("They are being left out").wait_for()
    run(prefect_api, "prefect", "flow-run", "execute", asked_for(prefect_api))

    assert quarantine.count() == 1
    page.get_by_text("Done: the run has ended as completed.").wait_for(timeout=30_000)
    page.locator("#facts dd", has_text="2 of 302, 3 dropped").wait_for()
    page.get_by_role("button", name="Take back 3 dropped").wait_for()
    assert collection.count_documents({}) == 305
