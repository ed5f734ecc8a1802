"""What the console looks like, for everybody: on a phone, in the dark, by keyboard.

``PAGE_SCREENSHOTS=1 pytest tests/e2e/console/test_look.py`` writes the images of the documentation,
``docs/images/console-*.png``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from perennial.config.problem import Problem
from perennial.registry.client import Registry
from perennial.settings import Settings
from perennial.status.facts import Facts
from perennial.stores.measurements import Gauge, Measurement, record
from tests.conftest import wait_until
from tests.deployments.console.stage import DAY, HOUR, NOW, Made, Stage, healthy
from tests.e2e.service_page.page import DESKTOP, IMAGES, PHONE
from tests.e2e.service_page.test_page_look import _TOO_FAINT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from playwright.sync_api import Page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
_SHOWN = (
    "console-overview-desktop-light.png",
    "console-overview-phone-dark.png",
    "console-problem-desktop-light.png",
)
QUESTION = {
    "question.asked": (NOW - HOUR).isoformat(),
    "question.until": (NOW + DAY).isoformat(),
}


@pytest.fixture
def company(machine: Settings, problem: Problem, client: MlflowClient, registry: Registry) -> Stage:
    """Seven problems: most are well, one waits for a person, one drifts, one cannot be read."""
    stage = Stage(machine, client)
    _story(stage, stage.copy(problem, "sentiment"))
    for name, accuracy in (("language", 0.981), ("spam", 0.967), ("topics", 0.842)):
        copy = stage.copy(problem, name)
        stage.versions(name, Made(40 * DAY, accuracy - 0.01, "promoted"), Made(DAY, accuracy))
        stage.changes(name, (40 * DAY, "promotion", None, 1))
        healthy(copy, 1, accuracy - 0.013)
    toxicity = stage.copy(problem, "toxicity")
    stage.versions("toxicity", Made(60 * DAY, 0.91, "promoted"))
    stage.changes("toxicity", (60 * DAY, "promotion", None, 1))
    healthy(toxicity, 1, 0.9)
    record(
        "monitor",
        toxicity,
        [Gauge("drift_found", 1, {"test": "words", "of": "documents"})],
    )
    (machine.problems_dir / "tickets.yaml").write_text("labels: {low: 0, high: 1}\nmetric: f2\n")
    (machine.problems_dir / "reviews.yaml").unlink()
    stage.copy(toxicity, "urgency")
    return stage


def _story(stage: Stage, problem: Problem) -> None:
    """A quarter of a year: better versions, one that was rolled back, one that waits."""
    name = problem.name
    kept = "accuracy: +0.002 [-0.003, 0.007], required above 0"
    passed = "every gate is passed; confirmed on 412 newer documents"
    better = (85, 0.858), (70, 0.871), (52, 0.884), (31, 0.893)
    made = {day: Made(day * DAY, accuracy, "promoted", passed) for day, accuracy in better}
    for day, accuracy in ((78, 0.861), (63, 0.868), (45, 0.881), (38, 0.886), (20, 0.878)):
        made[day] = Made(day * DAY, accuracy, reason=kept)
    made[31] = Made(31 * DAY, 0.893, "promoted", passed, {"rolled_back": "short texts are wrong"})
    made[9] = Made(9 * DAY, 0.899, "promoted", passed)
    waits = "every gate is passed, but it waits for a person's answer"
    made[0] = Made(3 * HOUR, 0.905, "waiting", waits, QUESTION)
    ordered = [made[day] for day in sorted(made, reverse=True)]
    number = {day: place for place, day in enumerate(sorted(made, reverse=True), start=1)}
    stage.versions(name, *ordered)
    stage.changes(
        name,
        (85 * DAY, "promotion", None, number[85]),
        (70 * DAY, "promotion", number[85], number[70]),
        (52 * DAY, "promotion", number[70], number[52]),
        (31 * DAY, "promotion", number[52], number[31]),
        (27 * DAY, "rollback", number[31], number[52]),
        (9 * DAY, "promotion", number[52], number[9]),
    )
    for start, end, day, first, last in (
        (84, 70, 85, 0.855, 0.849),
        (69, 52, 70, 0.868, 0.852),
        (51, 31, 52, 0.882, 0.874),
        (26, 10, 52, 0.875, 0.868),
        (30, 28, 31, 0.851, 0.846),
        (8, 0, 9, 0.897, 0.893),
    ):
        days = list(range(start, end - 1, -1))
        slope = (last - first) / max(1, len(days) - 1)
        stage.watched(
            name,
            number[day],
            [
                (
                    timedelta(days=each),
                    first + slope * place + 0.002 * (-1) ** place,
                    each in (54, 53),
                )
                for place, each in enumerate(days)
            ],
        )
    healthy(problem, number[9], 0.893)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_and_nothing_is_wider_than_the_screen(
    company: Stage, console: Callable[..., str], visit: Callable[..., Page], scheme: Any
) -> None:
    address = console()
    for size, name in ((DESKTOP, "desktop"), (PHONE, "phone")):
        for path, what in (("/console", "overview"), ("/console/sentiment", "problem")):
            page = visit(address + path, viewport=size, color_scheme=scheme)
            wait_until(lambda: page.locator("[data-wait]").count() == 0, "all is there")  # noqa: B023
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            found = page.evaluate(_TOO_FAINT)
            assert found["seen"] > 20
            assert found["faint"] == []
            picture = f"console-{what}-{name}-{scheme}.png"
            if picture in _SHOWN and os.environ.get("PAGE_SCREENSHOTS"):
                page.screenshot(path=IMAGES / picture, full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_dialog_can_be_read_and_is_left_by_escape(
    company: Stage, console: Callable[..., str], visit: Callable[..., Page], scheme: Any
) -> None:
    page = visit(console() + "/console/sentiment", viewport=PHONE, color_scheme=scheme)
    page.locator(".versions li").first.wait_for()

    page.get_by_role("button", name="Roll back").click()

    dialog = page.get_by_role("dialog", name="Roll back?")
    dialog.wait_for()
    # What it goes back to is chosen already, and what is Production cannot be.
    assert dialog.locator("#version").input_value() == "5"
    assert "10" not in dialog.locator("#version option").evaluate_all(
        "all => all.map(o => o.value)"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate(_TOO_FAINT)["faint"] == []
    dialog.get_by_role("button", name="Roll back").click()
    # The name is asked for first, and nothing was sent.
    assert page.locator("#by:focus").count() == 1
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert page.locator("[data-action=rollback]:focus").count() == 1


def test_of_fifty_problems_those_that_are_looked_for_are_found(
    console: Callable[..., str], visit: Callable[..., Page]
) -> None:
    def fifty(_: Settings, now: datetime) -> tuple[Facts, ...]:
        late = now - DAY
        measured = {"retrain": Measurement("retrain", "p", now - 3 * DAY, ())}
        return tuple(
            Facts(f"problem-{number:02}", measured=measured, due={"retrain": late})
            if number % 10 == 3
            else Facts(f"problem-{number:02}")
            for number in range(50)
        )

    page = visit(console(read=fifty) + "/console")
    rows = page.locator(".board tbody:visible")

    assert rows.count() == 50
    first = page.locator(".board tbody th a").evaluate_all("all => all.map(a => a.textContent)")
    assert first[:6] == [f"problem-{number:02}" for number in (3, 13, 23, 33, 43, 0)]
    page.get_by_label("Show problems with").fill("failing")
    assert rows.count() == 5
    page.get_by_label("Show problems with").fill("problem-4")
    assert rows.count() == 10
    # New facts keep what was typed.
    before = page.locator("#age").get_attribute("data-at")
    changed = "before => document.getElementById('age').dataset.at !== before"
    page.wait_for_function(changed, arg=before)
    assert rows.count() == 10
