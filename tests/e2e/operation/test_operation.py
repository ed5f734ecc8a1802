"""The system of `make up`, as a person operates it: deployments, schedules, pages, kills.

``PAGE_SCREENSHOTS=1 pytest tests/e2e/operation/test_operation.py -k clicked`` writes the images of
docs/operations.md, ``docs/images/prefect-*.png``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from playwright.sync_api import Error as PageError
from pymongo import MongoClient
from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tests.conftest import SMALL_PROBLEM, free_port
from tests.conftest import wait_until as wait_until_often
from tests.e2e.service_page.page import DESKTOP, IMAGES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

# One system for all tests, which takes its time to start; some of them wait for minutes of a clock.
pytestmark = [pytest.mark.e2e, pytest.mark.operation, pytest.mark.timeout(900)]

_CONFIGURATION = re.compile(
    "MONGODB|MLFLOW|PREFECT|DAGSHUB|DATA_|PROBLEMS_|SERVING_|OPERATION_|EXPORTER_"
)
_DOCUMENTS = 300
# SQLite has one writer at a time: a Prefect server that starts much at once may pause for a minute.
_SECONDS = 300.0
# Prefect's page draws only what is in view.
_TALL = DESKTOP | {"height": 1500}
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
# Each test has a problem of its own.
CLICKED, TICKING, CROWDED, KILLED = "clicked", "ticking", "crowded", "killed"
_SCHEDULES = {CLICKED: None, TICKING: "* * * * *", CROWDED: None, KILLED: None}


# Who asks Prefect's server more often takes from it the time in which it could get on.
wait_until = partial(wait_until_often, every=0.5)


@dataclass(frozen=True)
class System:
    """A system that `make up` has started."""

    environment: Mapping[str, str]
    mongodb: str

    @property
    def folder(self) -> Path:
        return Path(self.environment["DATA_DIR"]) / "local"

    @property
    def prefect(self) -> str:
        return f"http://127.0.0.1:{self.environment['OPERATION_PREFECT_PORT']}"

    def ask(self, path: str, body: Any = None) -> Any:
        """Ask Prefect's API, as its own client does: again while its database is busy."""
        client = httpx.Client(transport=httpx.HTTPTransport(retries=3), timeout=120)
        url = f"{self.prefect}/api/{path}"

        def answer() -> httpx.Response | None:
            found = client.get(url) if body is None else client.post(url, json=body)
            return None if found.status_code == httpx.codes.SERVICE_UNAVAILABLE else found

        with client:
            found: httpx.Response = wait_until(answer, f"Prefect answers {path}", _SECONDS)
        return found.raise_for_status().json()

    def runs(self, problem: str) -> list[dict[str, Any]]:
        """Return the runs of the problem's retraining that began or should have, in order."""
        found: list[dict[str, Any]] = self.ask(
            "flow_runs/filter",
            {
                "deployments": {"name": {"any_": [problem]}},
                "flows": {"name": {"any_": ["retrain"]}},
                "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}},
                "sort": "START_TIME_ASC",
            },
        )
        return found

    def start(self, problem: str, /, **parameters: Any) -> str:
        """Start a retraining as the button of the page does; return the id of the run."""
        deployment = self.ask(f"deployments/name/retrain/{problem}")["id"]
        run = self.ask(
            f"deployments/{deployment}/create_flow_run",
            {"parameters": parameters, "state": {"type": "SCHEDULED"}},
        )
        return str(run["id"])

    def ended(self, run: str) -> dict[str, Any]:
        """Wait for the end of a run."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.ask(f"flow_runs/{run}")
            return found if found["state_type"] in _FINAL else None

        return dict(wait_until(look, f"the end of run {run}", _SECONDS))

    def make(self, command: str) -> str:
        """Type ``make up`` or ``make down``."""
        done = subprocess.run(
            [sys.executable, "-m", "deployments.local", command],
            cwd=PROJECT,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.logs()
        return done.stdout

    def logs(self) -> str:
        tails = (
            f"\n== {file.name}\n{file.read_text(errors='replace')[-2000:]}"
            for file in sorted(self.folder.glob("*.log"))
        )
        return "".join(tails)


def _write_problems(folder: Path) -> None:
    folder.mkdir()
    for name, cron in _SCHEDULES.items():
        content = SMALL_PROBLEM | {
            "source": {"database": name, "collection": "reviews"},
            "schedule": {"retrain": cron, "monitor": None},
        }
        YAML(typ="safe").dump(content, folder / f"{name}.yaml")


def _environment(folder: Path) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not _CONFIGURATION.match(name)}
    return plain | {
        "DATA_DIR": str(folder / "data"),
        "PROBLEMS_DIR": str(folder / "problems"),
        "OPERATION_PREFECT_PORT": str(free_port()),
        "OPERATION_MLFLOW_PORT": str(free_port()),
        "OPERATION_VANISHED_SECONDS": "40",
        "SERVING_PORT": str(free_port()),
        "EXPORTER_PORT": str(free_port()),
        "SERVING_WORKERS": "1",
    }


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, documents: Callable[..., list[dict[str, Any]]]
) -> Iterator[System]:
    """Everything, from the state of a fresh clone, with a few documents for each problem."""
    folder = tmp_path_factory.mktemp("system")
    _write_problems(folder / "problems")
    system = System(_environment(folder), "")
    try:
        said = system.make("up")
        (mongodb,) = re.findall(r"mongodb://\S+", said)
        with MongoClient(mongodb) as client:
            for name in _SCHEDULES:
                client[name]["reviews"].insert_many(documents(_DOCUMENTS))
        yield System(system.environment, mongodb)
    finally:
        system.make("down")


@pytest.fixture(scope="module", autouse=True)
def killed_run(system: System) -> str:
    """A run whose worker was killed with it; what comes of it takes as long as the other tests."""
    run = system.start(KILLED)
    worker = int((system.folder / "worker.pid").read_text().split()[0])
    halted: list[psutil.Process] = []

    def has_said_that_it_lives() -> bool:
        resource = {"id": [f"prefect.flow-run.{run}"]}
        name = {"name": ["prefect.flow-run.heartbeat"]}
        found = system.ask("events/filter", {"filter": {"resource": resource, "event": name}})
        return bool(found["events"])

    def halt() -> bool:
        """Stop the clock of the run, so that it cannot end before it is killed."""
        running = system.ask(f"flow_runs/{run}")["state_type"] == "RUNNING"
        if running and has_said_that_it_lives():
            halted.extend(_with_descendants(worker))
            for process in halted:
                process.suspend()
            return True
        return False

    wait_until(halt, "the run is on its way", _SECONDS)
    assert system.ask(f"flow_runs/{run}")["state_type"] == "RUNNING"
    for process in halted:
        process.send_signal(signal.SIGKILL)
    return run


def _with_descendants(leader: int) -> list[psutil.Process]:
    """Return a process and all that it has started; each run has a session of its own."""
    process = psutil.Process(leader)
    return [process, *process.children(recursive=True)]


def _runs(process: psutil.Process) -> bool:
    """Return whether a process has not ended; who inherits it may not have noticed its end yet."""
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def test_make_up_twice_starts_nothing_twice(system: System) -> None:
    before = {file.name: file.read_text() for file in system.folder.glob("*.pid")}

    said = system.make("up")

    after = {file.name: file.read_text() for file in system.folder.glob("*.pid")}
    names = ("supervisor", "prefect", "mlflow", "worker", "service", "exporter")
    assert before.keys() == {f"{name}.pid" for name in names}
    # The worker was killed in between, and is a new one.
    assert {name: pid for name, pid in after.items() if name != "worker.pid"} == {
        name: pid for name, pid in before.items() if name != "worker.pid"
    }
    assert system.prefect in said
    assert system.mongodb in said


def test_a_retraining_started_by_a_click_ends_with_its_verdict_on_the_page(
    system: System,
    browser: Browser,
) -> None:
    context = browser.new_context(viewport=_TALL, color_scheme="light")
    context.set_default_timeout(_SECONDS * 1000)
    page = context.new_page()

    _click_run(page, system)
    run = wait_until(lambda: system.runs(CLICKED), "the click has started a run", _SECONDS)[0]
    ended = system.ended(run["id"])
    _open_artifacts(page, system, run["id"]).click()
    page.get_by_role("heading", name="Verdict on version 1").wait_for()

    assert ended["state_type"] == "COMPLETED"
    shown = page.inner_text("body")
    assert "clicked: promoted, Production is now version 1" in shown
    assert "no Production version yet" not in shown
    for heading in ("Documents, snapshot", "Candidates on the validation", "Durations"):
        assert heading in shown
    pictures = page.locator("img[src^='data:image/png']")
    assert pictures.count() == 4
    assert all(pictures.nth(n).evaluate("image => image.naturalWidth > 0") for n in range(4))
    link = page.get_by_role("link", name="Version 1 in MLflow").get_attribute("href")
    assert link is not None
    assert "/#/models/clicked/versions/1?" in link
    if "PAGE_SCREENSHOTS" in os.environ:
        _take_pictures(page, system, run["id"])
    context.close()


def _click_run(page: Page, system: System) -> None:
    page.goto(f"{system.prefect}/deployments")
    row = page.locator("tr", has=page.get_by_text("retrain", exact=True)).filter(has_text=CLICKED)
    row.get_by_role("link", name=CLICKED).click()

    def click() -> bool:
        """Click until it helps: a page that is still loading may not notice it."""
        with (
            suppress(PageError),
            page.expect_response(re.compile("create_flow_run"), timeout=10_000),
        ):
            page.get_by_role("button", name="Run", exact=True).click()
            page.get_by_text("Quick run").click(timeout=5_000)
            return True
        return False

    wait_until(click, "the button starts a run", _SECONDS)


def _open_artifacts(page: Page, system: System, run: str) -> Locator:
    """Open the page of a run where its artifacts are; return the link to its report."""
    page.goto(f"{system.prefect}/runs/flow-run/{run}")
    tab = page.get_by_text("Artifacts", exact=True).last
    report = page.get_by_role("link", name="retrain-clicked").first

    def is_open() -> bool:
        """Click until it helps: while the page loads it goes back to its first tab."""
        tab.click()
        with suppress(PageError):
            report.wait_for(timeout=5_000)
        return report.is_visible()

    wait_until(is_open, "the report is among the artifacts", _SECONDS)
    return report


def _take_pictures(page: Page, system: System, run: str) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=IMAGES / "prefect-verdict.png")
    page.set_viewport_size({"width": 1280, "height": 960})
    _open_artifacts(page, system, run)
    page.screenshot(path=IMAGES / "prefect-run.png")


def test_of_three_retrainings_started_at_once_none_overlap(system: System) -> None:
    runs = [system.start(CROWDED, force=True) for _ in range(3)]

    ended = [system.ended(run) for run in runs]

    assert [run["state_type"] for run in ended] == ["COMPLETED"] * 3
    spans = sorted((run["start_time"], run["end_time"]) for run in ended)
    for (_, end), (start, _) in pairwise(spans):
        assert end <= start


def test_another_problem_is_refused_by_the_form(system: System) -> None:
    with pytest.raises(httpx.HTTPStatusError) as refused:
        system.start(CROWDED, problem=CLICKED)

    assert refused.value.response.status_code == httpx.codes.CONFLICT


def test_a_scheduled_retraining_runs_by_itself(system: System) -> None:
    def completed() -> list[dict[str, Any]]:
        return [run for run in system.runs(TICKING) if run["state_type"] == "COMPLETED"]

    run = wait_until(completed, "a scheduled run", _SECONDS)[0]

    assert run["auto_scheduled"]
    assert run["created_by"]["type"] == "SCHEDULE"


def test_a_run_whose_worker_was_killed_is_marked_and_a_new_one_completes(
    system: System, killed_run: str
) -> None:
    marked = system.ended(killed_run)

    def new_runs() -> list[dict[str, Any]]:
        return [run for run in system.runs(KILLED) if run["id"] != killed_run]

    new = wait_until(new_runs, "a new run in place of the killed one", _SECONDS)[0]

    assert marked["state_type"] == "CRASHED"
    assert "vanished" in marked["state"]["message"]
    assert system.ended(new["id"])["state_type"] == "COMPLETED"
    artifact = system.ask(
        "artifacts/latest/filter", {"artifacts": {"key": {"any_": ["retrain-killed"]}}}
    )
    (shown,) = (one["data"] for one in artifact)
    assert "promoted, Production is now version 1" in shown
    assert f"| used | {_DOCUMENTS} |" in shown


def test_drift_starts_a_retraining(system: System) -> None:
    before = len(system.runs(CLICKED))

    subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "from tasks.orchestration import events\n"
                "events.emit('problem.drifted', 'clicked', reason='a test')"
            ),
        ],
        cwd=PROJECT,
        env={**system.environment, "PREFECT_API_URL": f"{system.prefect}/api"},
        check=True,
        timeout=120,
    )

    wait_until(lambda: len(system.runs(CLICKED)) > before, "the automation retrains", _SECONDS)
    run = system.runs(CLICKED)[-1]
    assert run["created_by"]["type"] == "AUTOMATION"
    assert system.ended(run["id"])["state_type"] == "COMPLETED"


def test_make_down_leaves_nothing_behind_in_the_middle_of_a_run(system: System) -> None:
    run = system.start(CROWDED, force=True)
    wait_until(lambda: system.ask(f"flow_runs/{run}")["state_type"] == "RUNNING", "a run", _SECONDS)
    leaders = [int(file.read_text().split()[0]) for file in system.folder.glob("*.pid")]
    running = [process for leader in leaders for process in _with_descendants(leader)]
    assert any("prefect.engine" in " ".join(process.cmdline()) for process in running)

    system.make("down")

    assert [process for process in running if _runs(process)] == []
    assert not list(system.folder.glob("*.pid"))
