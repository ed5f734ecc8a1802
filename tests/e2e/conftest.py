"""The service as it runs in production, on a small real model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tests.conftest import MIDNIGHT, copy_prefect, free_port, wait_until
from tests.e2e.service_page.page import DESKTOP
from tools.chromium import find

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page
    from pymongo.collection import Collection

CONFIGURATION = re.compile("MONGODB|MLFLOW|PREFECT|DAGSHUB|DATA_|PROBLEMS_|SERVING_|BENTOML_")
_CANDIDATE = "bigrams-logistic"
_REVIEWS = 3000
SERVICE = "serving.service:Classifier"
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclass(frozen=True)
class Site:
    """A running service: its address, its documents in MongoDB, and its classes."""

    url: str
    documents: Collection[dict[str, Any]]
    labels: Mapping[str, Any]


def _write_problem(folder: Path, database: str) -> dict[str, Any]:
    """Write the problem of film reviews, with one candidate and a database of its own."""
    yaml = YAML(typ="safe")
    problem: dict[str, Any] = yaml.load(PROJECT / "problems" / "sentiment.yaml")
    problem["source"]["database"] = database
    problem["candidates"] = {_CANDIDATE: problem["candidates"][_CANDIDATE]}
    for other in ("baseline", "experiment"):
        problem.pop(other, None)
    problem["gates"] = {"floors": {"accuracy": 0.6}, "first_version": None, "confirm": "none"}
    folder.mkdir()
    yaml.dump(problem, folder / "sentiment.yaml")
    return problem


def _reviews() -> Iterator[dict[str, Any]]:
    """Real film reviews, as documents."""
    from tasks.data.seed import read_file, reviews_file

    rows = read_file(reviews_file(), text="text", label="label").to_pylist()
    step = len(rows) // _REVIEWS
    for number, row in enumerate(islice(rows, 0, None, step)):
        yield {
            "_id": f"review-{number}",
            "text": row["text"],
            "label": row["label"],
            "created_at": MIDNIGHT,
            "source": "test",
        }


@contextmanager
def serving(environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """Run the service until the end of the block; yield its address when it is ready."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"

    def ready() -> bool:
        if service.poll() is not None:
            pytest.fail(f"the service ended: {log.read_text()}")
        try:
            with urllib.request.urlopen(url + "readyz", timeout=5):
                return True
        except OSError:
            return False

    (log.parent / "home").mkdir()
    with log.open("w") as output:
        service = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bentoml",
                "serve",
                SERVICE,
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
            ],
            cwd=PROJECT,
            env={**environment, "SERVING_WORKERS": "1", "BENTOML_HOME": str(log.parent / "home")},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(ready, "the service is ready", seconds=120)
        yield url
    finally:
        service.terminate()
        service.wait(timeout=30)


@pytest.fixture(scope="session")
def site(
    mongodb_server: str, empty_prefect: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The service, on a model that a real retraining on real reviews has promoted."""
    folder = tmp_path_factory.mktemp("site")
    problem = _write_problem(folder / "problems", f"test_{uuid4().hex}")
    copy_prefect(empty_prefect, folder / "data")
    with retrained(mongodb_server, folder, "sentiment", problem, _reviews()) as site:
        yield site


@contextmanager
def retrained(
    mongodb_server: str,
    folder: Path,
    name: str,
    problem: Mapping[str, Any],
    content: Iterable[dict[str, Any]],
) -> Iterator[Site]:
    """Retrain a problem, whose file lies in the folder, on these documents, and serve it."""
    from pymongo import MongoClient

    database = problem["source"]["database"]
    plain = {name: value for name, value in os.environ.items() if not CONFIGURATION.match(name)}
    environment = plain | {
        "DATA_DIR": str(folder / "data"),
        "PROBLEMS_DIR": str(folder / "problems"),
        "MONGODB_URI": mongodb_server,
        "SERVING_LOG_DATABASE": database,
    }
    with MongoClient(mongodb_server, tz_aware=True) as client:
        documents = client[database][problem["source"]["collection"]]
        documents.insert_many(content)
        done = subprocess.run(
            [sys.executable, "-m", "flows", "retrain", name],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert "Production is now version 1" in done.stdout, done.stdout + done.stderr
        with serving(environment, folder / "serving.telemetry.log") as url:
            yield Site(url, documents, problem["labels"])
        client.drop_database(database)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    found = find()
    if found is None:
        reason = "no Chromium or Chrome on this machine; python -m tools.chromium installs one"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found.path,
            args=_ARGUMENTS,
            env={**os.environ, **found.environment},
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """A function that opens the page; at the end nothing may have been wrong in the console.

    Chromium logs every answer with an error status. Tests that want such answers say so.
    """
    contexts: list[BrowserContext] = []
    wrong: list[str] = []
    expected: list[str] = []

    def open_(*, errors: str | None = None, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce"} | options)
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        if errors:
            expected.append(errors)
        page.goto(site.url)
        page.get_by_text("in Production since").wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
    surprising = [line for line in wrong if not any(re.search(known, line) for known in expected)]
    assert surprising == []
