"""The console shows what is known, as text, and never waits for what is not."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from mlflow import MlflowClient
from starlette.testclient import TestClient

from deployments.console.app import Links, links
from perennial.config.problem import Problem
from perennial.registry.client import Registry
from perennial.settings import ConsoleSettings, Settings
from perennial.status.facts import Facts
from perennial.stores.measurements import Gauge, record
from tests.conftest import wait_until
from tests.deployments.console.conftest import DIGEST
from tests.deployments.console.stage import DAY, HOUR, Made, Stage, healthy

Open = Callable[..., TestClient]


def problem_page(console: TestClient, name: str) -> str:
    """The page of a problem, once its history is there."""

    def ready() -> str:
        page = console.get(f"/console/{name}")
        assert page.status_code == 200
        return "" if "data-wait" in page.text else page.text

    found: str = wait_until(ready, "the history is there")
    return found


def test_a_problem_is_shown_with_all_that_is_known_about_it(
    stage: Stage, problem: Problem, open_console: Open
) -> None:
    stage.versions("reviews", Made(9 * DAY, 0.91, "promoted"), Made(DAY, 0.9))
    stage.changes("reviews", (9 * DAY, "promotion", None, 1))
    healthy(problem, 1, 0.905)

    page = open_console().get("/console").text

    assert '<a href="/console/reviews">reviews</a>' in page
    for said in ("v1", "9 d ago", "0.910", "0.905", "[0.885, 0.925]", "none", "of 20,511"):
        assert said in page
    assert "nothing new" in page
    assert "✓" in page
    assert "Facts of" in page


def test_the_page_is_there_before_anything_is_known_and_says_so(open_console: Open) -> None:
    console = open_console(looks=False)

    for path in ("/console", "/console/reviews"):
        page = console.get(path)
        assert page.status_code == 200
        assert "for the first time" in page.text
        assert "data-wait" in page.text


def test_a_look_that_fails_leaves_the_last_facts_and_says_so(
    machine: Settings, problem: Problem
) -> None:
    from deployments.console.board import Board

    answers = [(Facts("reviews"),), KeyError("at")]

    def read(_: Settings, __: datetime) -> tuple[Facts, ...]:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    board = Board(machine, 3600, read)
    board.gather()
    board.gather()

    assert board.gathered is not None
    assert [entry.facts.name for entry in board.gathered.entries] == ["reviews"]
    assert "KeyError" in board.failed


def test_trouble_comes_first_and_one_broken_problem_hides_no_other(
    stage: Stage,
    machine: Settings,
    problem: Problem,
    client: MlflowClient,
    open_console: Open,
) -> None:
    for name in ("alpha", "omega", "zeta"):
        stage.copy(problem, name)
    (machine.problems_dir / "tail.yaml").write_text("labels: 3\n")
    stage.versions("alpha", Made(DAY, 0.9, "promoted"))
    stage.changes("alpha", (DAY, "promotion", None, 1))
    healthy(problem.model_copy(update={"name": "alpha"}), 1, 0.9)
    stage.versions("zeta", Made(DAY, 0.9, "promoted"))
    stage.changes("zeta", (DAY, "promotion", None, 1))
    client.delete_model_version("zeta", "1")
    stage.versions("omega", Made(DAY, 0.9, "waiting"))

    page = open_console().get("/console").text

    places = [page.index(f'data-name="{name}"') for name in ("tail", "zeta", "omega", "reviews")]
    assert [*places, page.index('data-name="alpha"')] == sorted(
        [*places, page.index('data-name="alpha"')]
    )
    assert "tail.yaml" in page
    assert "has no Production any more in MLflow" in page
    assert "0.900" in page


def test_the_history_has_verdicts_changes_and_a_picture_with_live_quality(
    stage: Stage, problem: Problem, open_console: Open
) -> None:
    stage.versions(
        "reviews",
        Made(30 * DAY, 0.88, "promoted"),
        Made(20 * DAY, 0.90, "promoted"),
        Made(10 * DAY, 0.89, reason="accuracy: -0.01 [-0.02, 0.00], required above 0"),
    )
    stage.changes(
        "reviews",
        (29 * DAY, "promotion", None, 1),
        (19 * DAY, "promotion", 1, 2),
        (5 * DAY, "rollback", 2, 1),
    )
    stage.watched("reviews", 1, [((29 - day) * DAY, 0.87, day > 7) for day in range(10)])

    page = problem_page(open_console(), "reviews")

    assert "accuracy: -0.01 [-0.02, 0.00], required above 0" in page
    assert "short texts came out wrong" in page
    assert page.count('<svg viewBox="0 0 960') == 1
    wide = page[page.index('<svg viewBox="0 0 960') :].partition("</svg>")[0]
    assert wide.count("<circle") == 3
    assert wide.count('class="change promotion"') == 2
    assert wide.count('class="change rollback"') == 1
    assert wide.count('<polyline class="live"') == 1
    assert wide.count('class="drift"') == 2


def test_whatever_stands_in_tags_and_files_is_shown_as_text(
    stage: Stage, machine: Settings, open_console: Open
) -> None:
    hostile = "<script>hacked()</script>\"><img src=x onerror=hacked()> ' {{ 7 * 7 }}"
    stage.versions("reviews", Made(DAY, 0.9, "kept", hostile, {"rolled_back": hostile}))
    (machine.problems_dir / "odd.yaml").write_text("labels: <script>hacked()</script>\n")

    console = open_console()
    pages = console.get("/console").text + problem_page(console, "reviews")

    assert "<script>hacked" not in pages
    assert "<img src=x" not in pages
    assert "{{ 7 * 7 }}" in pages
    assert "&lt;script&gt;hacked()" in pages


def test_a_password_in_a_reason_is_not_shown(stage: Stage, open_console: Open) -> None:
    reason = "mongodb://ana:hunter2@db.example/ cannot be reached"
    stage.versions("reviews", Made(DAY, 0.9, "kept", reason))

    console = open_console()
    pages = console.get("/console").text + problem_page(console, "reviews")

    assert "hunter2" not in pages
    assert "db.example" in pages


def test_other_programs_are_linked_where_they_are_known(stage: Stage, open_console: Open) -> None:
    links = Links("http://prefect.example", "http://mlflow.example", "http://grafana.example")

    page = open_console(links=links).get("/console").text
    without = open_console().get("/console").text

    for name in ("prefect", "mlflow", "grafana"):
        assert f'href="http://{name}.example' in page
        assert f"{name}.example" not in without
    # Its pages begin with generative AI unless they are told.
    assert 'href="http://mlflow.example/#/models?workflowType=machine_learning"' in page


@pytest.mark.parametrize(
    "path", ["/console", "/console/reviews", "/console/static/console.js", "/console/unknown"]
)
def test_every_page_forbids_scripts_and_frames_of_others(
    stage: Stage, open_console: Open, path: str
) -> None:
    answer = open_console().get(path)

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.status_code == (404 if path.endswith("unknown") else 200)
    if answer.headers["content-type"].startswith("text/html"):
        # The policy refuses these, so that whatever needs them would not work.
        assert " style=" not in answer.text
        assert " onclick=" not in answer.text


def test_metrics_are_at_the_same_port_and_the_root_leads_to_the_console(
    stage: Stage, problem: Problem, open_console: Open
) -> None:
    console = open_console()
    healthy(problem, 1, 0.9)

    metrics = console.get("/metrics")

    assert metrics.headers["content-type"].startswith("text/plain")
    assert 'perennial_problem_file_valid{file="reviews.yaml",problem="reviews"} 1.0' in metrics.text
    assert console.get("/").headers["location"] == "/console"


def test_times_are_said_in_their_largest_unit(
    stage: Stage, problem: Problem, open_console: Open
) -> None:
    stage.versions("reviews", Made(3 * HOUR, 0.9, "promoted"))
    stage.changes("reviews", (3 * HOUR, "promotion", None, 1))

    assert "3 h ago" in open_console().get("/console").text


def test_links_lead_where_people_open_pages_and_name_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://ana:hunter2@prefect.example:4200/api")
    settings = Settings(mlflow_tracking_uri="http://ana:hunter2@mlflow.example:5000")

    found = links(settings, ConsoleSettings(grafana_url="https://grafana.example/d/x"))

    assert found == Links(
        "http://prefect.example:4200", "http://mlflow.example:5000", "https://grafana.example/d/x"
    )
    elsewhere = ConsoleSettings(prefect_url="https://runs.example")
    assert links(Settings(mlflow_tracking_uri="sqlite:///x.db"), elsewhere) == Links(
        "https://runs.example", None, None
    )


def test_a_retired_problem_is_shown_last_and_offers_no_decision(
    stage: Stage, problem: Problem, registry: Registry, machine: Settings, open_console: Open
) -> None:
    stage.copy(problem, "zebra")
    for name in ("reviews", "zebra"):
        stage.versions(name, Made(9 * DAY, 0.91, "promoted"))
        stage.changes(name, (9 * DAY, "promotion", None, 1))
    registry.retire("reviews", datetime.now(UTC))
    console = open_console(keys=(DIGEST,))

    for file_is_there in (True, False):
        overview, page = console.get("/console").text, problem_page(console, "reviews")
        assert overview.index("/console/zebra") < overview.index("/console/reviews")
        assert "retired" in overview
        assert "perennial retire reviews --undo" in page
        assert "data-action" not in page
        assert "data-action" in problem_page(console, "zebra")
        if file_is_there:
            machine.problem_file("reviews").unlink()
            console = open_console(keys=(DIGEST,))


def test_reasons_of_quarantine_are_offered_to_be_dropped_with_their_numbers(
    problem: Problem, open_console: Open
) -> None:
    record(
        "retrain",
        problem,
        [
            Gauge("documents", 90, {"outcome": "used"}),
            Gauge("documents", 10, {"outcome": "quarantined"}),
            Gauge("documents_quarantined", 3, {"reason": "too_short", "field": "text"}),
            Gauge("documents_quarantined", 7, {"reason": "unknown_label", "field": "<b>&"}),
            Gauge("documents_dropped", 4),
        ],
    )

    page = open_console(keys=(DIGEST,)).get("/console/reviews").text

    (offered,) = re.findall(r'data-reasons="([^"]+)"', page)
    assert json.loads(html.unescape(offered)) == [
        ["unknown_label <b>&", "<b>& is none of the problem's labels: 7 documents"],
        ["too_short text", "text is too short: 3 documents"],
    ]
    assert "<b>&" not in page
    assert "4 dropped" in page
    assert "Take back 4 dropped" in page
