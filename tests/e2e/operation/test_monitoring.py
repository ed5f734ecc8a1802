"""What people see and are told: real Prometheus and Alertmanager watch the real system.

The service and the exporter run as processes, on a model that was really retrained, and on
documents, predictions and feedback that really came in.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import promql_parser
import pytest
from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tests.conftest import copy_prefect, free_port, wait_until
from tests.e2e import conftest as sites
from tests.e2e.conftest import Site
from tests.e2e.operation.observatory import Observatory, observatory
from tools.dashboards import BOARDS
from tools.dashboards.draw import Board
from tools.rules import SOURCE

pytestmark = pytest.mark.e2e

_PROBLEM = "sentiment"
_ASKED = 60
# A rate needs two scrapes, and some of what is shown needs what has grown in between twice.
_ROUNDS = 2
_ARRIVED = 120
_RATE_SECONDS = 60
_VARIABLES = {
    "$__rate_interval": f"{_RATE_SECONDS}s",
    "$namespace": ".*",
    "$problem": ".*",
}
_COMPARISONS = {">", "<", ">=", "<=", "==", "!="}
_SETS = {"and", "or", "unless"}
# A real Prometheus of a few seconds has no yesterday.
_OFFSET = re.compile(r" offset \w+")


@dataclass(frozen=True)
class Watched:
    """The system, and what watches it."""

    site: Site
    eyes: Observatory
    stop: Any


def _documents() -> Iterator[dict[str, Any]]:
    """Real film reviews, and one that nobody can use."""
    reviews = list(islice(sites._reviews(), 0, None, 3))
    yield from reviews
    yield reviews[0] | {"_id": "empty", "text": ""}


def _write_problem(folder: Path) -> dict[str, Any]:
    database = f"test_{uuid4().hex}"
    problem = sites._write_problem(folder / "problems", database)
    problem["monitoring"] = {"min_documents": 50}
    YAML(typ="safe").dump(problem, folder / "problems" / f"{_PROBLEM}.yaml")
    return problem


def _some(site: Site, count: int) -> list[dict[str, Any]]:
    """Reviews of both classes."""
    reviews = list(site.documents.find({"source": "test", "text": {"$ne": ""}}))
    return reviews[:: len(reviews) // count]


def _ask(site: Site) -> None:
    """Classify reviews, and say what was right."""
    with httpx.Client(base_url=site.url, timeout=30) as client:
        for review in _some(site, _ASKED):
            answer = client.post("/classify", json={"inputs": [review["text"]]})
            (prediction,) = answer.raise_for_status().json()["predictions"]
            label = next(name for name, value in site.labels.items() if value == review["label"])
            told = {"prediction_id": prediction["prediction_id"], "label": label}
            client.post("/feedback", json=told).raise_for_status()


def _ask_across_scrapes(watched: Watched) -> None:
    """Ask between scrapes, so that every rate has something to grow from and has grown."""
    for _ in range(_ROUNDS):
        watched.eyes.wait_for_scrape("serving")
        _ask(watched.site)
    watched.eyes.wait_for_scrape("serving")


def _arrive(site: Site) -> None:
    """Let documents come in that Production has not seen."""
    for review in _some(site, _ARRIVED):
        site.documents.insert_one(
            review
            | {
                "_id": f"new-{review['_id']}",
                "text": review["text"][::-1],
                "created_at": datetime.now(UTC),
                "source": "later",
            }
        )


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def _run(flow: str, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows", flow, _PROBLEM],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def watched(
    mongodb_server: str,
    prefect_api: str,
    empty_prefect: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Watched]:
    """Everything, after some traffic and a monitor run."""
    folder = tmp_path_factory.mktemp("watched")
    problem = _write_problem(folder)
    copy_prefect(empty_prefect, folder / "data")
    port = free_port()
    environment = {
        **os.environ,
        "DATA_DIR": str(folder / "data"),
        "PROBLEMS_DIR": str(folder / "problems"),
        "MONGODB_URI": mongodb_server,
        "SERVING_LOG_DATABASE": problem["source"]["database"],
        "PREFECT_API_URL": prefect_api,
        "EXPORTER_PORT": str(port),
    }
    with ExitStack() as stack, ExitStack() as service:
        site = service.enter_context(
            sites.retrained(mongodb_server, folder, _PROBLEM, problem, _documents())
        )
        log = stack.enter_context((folder / "exporter.log").open("w"))
        exporter = subprocess.Popen(
            [sys.executable, "-m", "deployments.exporter"],
            cwd=PROJECT,
            env=environment,
            stdout=log,
            stderr=log,
        )
        stack.callback(exporter.wait, 30)
        stack.callback(exporter.terminate)
        wait_until(lambda: _answers(port), "the exporter answers", seconds=120)
        _, _, host = site.url.rstrip("/").rpartition("/")
        targets = {"serving": host, "flows": f"127.0.0.1:{port}"}
        eyes = stack.enter_context(observatory(folder, targets))
        _ask(site)
        _arrive(site)
        _run("monitor", environment)
        yield Watched(site, eyes, service.close)


def _queries(board: Board) -> Iterator[tuple[str, str]]:
    """Every query of a dashboard: where it stands -> PromQL."""
    content = json.loads(board.json())
    asked = [(each["name"], each["expr"]) for each in content["annotations"]["list"]]
    asked += [
        (panel["title"], target["expr"])
        for panel in content["panels"]
        for target in panel["targets"]
    ]
    for title, query in asked:
        yield f"{board.title}, {title}", _chosen(query)


def _chosen(query: str) -> str:
    """Fill in what Grafana would."""
    for name, value in _VARIABLES.items():
        query = query.replace(name, value)
    return query


# What there is only while a version waits for a person, and of deployments, of which this system
# has none: the exporter's own tests see them.
_ONLY_WHILE = {"perennial_answer_deadline_timestamp_seconds", "perennial_flow_failed"}


def _operands(query: Any) -> Iterator[str]:
    """What an alert compares and combines: without any of it, it could never fire."""
    if isinstance(query, promql_parser.ParenExpr):
        yield from _operands(query.expr)
    elif isinstance(query, promql_parser.BinaryExpr) and str(query.op) in _COMPARISONS | _SETS:
        yield from _operands(query.lhs)
        yield from _operands(query.rhs)
    elif isinstance(query, promql_parser.BinaryExpr) and "absent(" in str(query.lhs):
        yield from _operands(query.lhs)
    elif isinstance(query, promql_parser.Call) and query.func.name in {"absent", "label_replace"}:
        yield from _operands(query.args[0])
    elif not isinstance(query, promql_parser.NumberLiteral):
        yield _OFFSET.sub("", str(query))


def _answered(eyes: Observatory, queries: Mapping[str, str]) -> None:
    """Wait until every query has data; fail with those that have none."""
    missing = dict(queries)

    def ask() -> bool:
        for where in [where for where, query in missing.items() if eyes.values(query)]:
            del missing[where]
        return not missing

    try:
        wait_until(ask, "every query has data", seconds=30)
    except pytest.fail.Exception:
        pytest.fail("No data:\n" + "\n".join(f"{where}: {q}" for where, q in missing.items()))


def test_every_panel_of_every_dashboard_has_data(watched: Watched) -> None:
    queries = {
        f"{where} [{number}]": query
        for board in BOARDS
        for number, (where, query) in enumerate(_queries(board))
    }

    assert len(queries) > 40
    _ask_across_scrapes(watched)
    _answered(watched.eyes, queries)


def test_every_alert_looks_at_something_that_exists(watched: Watched) -> None:
    queries = {}
    for group in YAML(typ="safe").load(SOURCE)["spec"]["groups"]:
        for rule in group["rules"]:
            name = rule.get("alert") or rule["record"]
            for number, operand in enumerate(_operands(promql_parser.parse(rule["expr"]))):
                queries[f"{name} [{number}]"] = operand

    there = {
        where: query
        for where, query in queries.items()
        if not any(metric in query for metric in _ONLY_WHILE)
    }
    assert len(queries) - len(there) == len(_ONLY_WHILE)
    _ask_across_scrapes(watched)
    _answered(watched.eyes, there)


def test_a_system_that_works_wakes_nobody(watched: Watched) -> None:
    pages = {"ServiceDown", "NoProductionModel", "TooManyErrors"}

    assert not watched.eyes.firing() & pages


# The last test here: it ends the service.
def test_a_service_that_is_down_reaches_people_and_nothing_that_follows_from_it(
    watched: Watched,
) -> None:
    watched.stop()

    people = watched.eyes.people
    alert = wait_until(lambda: people.firing("ServiceDown"), "people are told", seconds=30)
    assert alert["receiver"] == "page"
    assert alert["annotations"]["summary"] == "0 pods of the service answer Prometheus."
    assert alert["annotations"]["runbook_url"] == "docs/runbooks.md#servicedown"
    follows = ("TargetDown", "serving")
    wait_until(lambda: follows in watched.eyes.held_back(), "what follows from it is held back")
    assert people.firing("TargetDown", job="serving") is None
