"""Real Prometheus and Alertmanager, with the rules and routes of Compose, made quick."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tests.conftest import free_port, wait_until
from tools import programs

_COMPOSE = PROJECT / "compose"
_OFTEN = "1s"
_END_SECONDS = 15.0
# Hours become minutes, and minutes seconds: which alert fires first stays as it is.
_QUICKER = str.maketrans("hm", "ms")


@dataclass
class People:
    """Who is told of alerts: a web hook that remembers them."""

    url: str
    told: list[dict[str, Any]] = field(default_factory=list)

    def firing(self, name: str, **labels: str) -> dict[str, Any] | None:
        """Return the alert with this name and these labels that fires, if they were told."""
        wanted = {"alertname": name, **labels}.items()
        found = (
            alert
            for alert in list(self.told)
            if alert["status"] == "firing" and wanted <= alert["labels"].items()
        )
        return next(found, None)


@dataclass(frozen=True)
class Observatory:
    """A Prometheus that scrapes the system, its Alertmanager, and the people whom they reach."""

    url: str
    alertmanager: str
    people: People

    def values(self, query: str) -> list[float]:
        """Return what a query says now; what is not a number is no data."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=10)
        content = answer.json()
        assert content["status"] == "success", f"{query}: {content.get('error')}"
        result = content["data"]["result"]
        if content["data"]["resultType"] == "scalar":
            result = [{"value": result}]
        found = [float(each["value"][1]) for each in result]
        return [value for value in found if not math.isnan(value)]

    def scrapes(self, job: str) -> int:
        """Return how often the targets of a job have been scraped in the last hour."""
        query = f'sum(count_over_time(up{{job="{job}"}}[1h]))'
        return int(sum(self.values(query)))

    def wait_for_scrape(self, job: str) -> None:
        """Wait until a scrape has seen what there is now."""
        # One may be under way that began before.
        wanted = self.scrapes(job) + 2
        wait_until(lambda: self.scrapes(job) >= wanted, f"{job} is scraped", seconds=30)

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = httpx.get(f"{self.url}/api/v1/alerts", timeout=10).json()["data"]["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    def held_back(self) -> set[tuple[str, str | None]]:
        """Return the alerts that fire and of which nobody is told, for a worse one: (name, job)."""
        alerts = httpx.get(f"{self.alertmanager}/api/v2/alerts", timeout=10).json()
        labels = [each["labels"] for each in alerts if each["status"]["inhibitedBy"]]
        return {(each["alertname"], each.get("job")) for each in labels}


def _load(name: str) -> Any:
    return YAML(typ="safe", pure=True).load(_COMPOSE / name)


def _write(path: Path, content: Any) -> None:
    with path.open("w") as file:
        YAML(typ="safe").dump(content, file)


def _write_prometheus(folder: Path, targets: Mapping[str, str], alertmanager: str) -> None:
    """Copy configuration and rules: other targets, and what takes minutes takes seconds."""
    content = _load("prometheus/prometheus.yml")
    content["global"] = {"scrape_interval": _OFTEN, "evaluation_interval": _OFTEN}
    assert {each["job_name"] for each in content["scrape_configs"]} == targets.keys()
    for each in content["scrape_configs"]:
        each["static_configs"] = [{"targets": [targets[each["job_name"]]]}]
    content["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    _write(folder / "prometheus.yml", content)
    rules = _load("prometheus/rules.yml")
    for group in rules["groups"]:
        group["interval"] = _OFTEN
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = rule["for"].translate(_QUICKER)
    _write(folder / "rules.yml", rules)


def _write_alertmanager(folder: Path, hook: str) -> None:
    """Copy the routes, with a receiver and without waiting."""
    content = _load("alertmanager/alertmanager.yml")
    for route in (content["route"], *content["route"]["routes"]):
        route |= {"group_wait": _OFTEN, "group_interval": _OFTEN}
    for receiver in content["receivers"]:
        receiver["webhook_configs"] = [{"url": f"{hook}{receiver['name']}"}]
    _write(folder / "alertmanager.yml", content)


@contextmanager
def _running(command: list[str], log: Path, ready: str) -> Iterator[None]:
    """Run a program until the end of the block, which begins when it is ready."""
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            return httpx.get(ready, timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, f"{log.stem} is ready", seconds=30)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(_END_SECONDS)


@contextmanager
def _hook() -> Iterator[People]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver = self.path.strip("/")
            people.told += [one | {"receiver": receiver} for one in json.loads(body)["alerts"]]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    people = People(f"http://127.0.0.1:{server.server_port}/")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield people
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def observatory(folder: Path, targets: Mapping[str, str]) -> Iterator[Observatory]:
    """Run Prometheus and Alertmanager.

    Parameters
    ----------
    folder : Path
        For their configuration, data and logs.
    targets : mapping of str to str
        Job -> host and port of what is scraped.
    """
    ours, theirs = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with ExitStack() as stack:
        people = stack.enter_context(_hook())
        _write_alertmanager(folder, people.url)
        _write_prometheus(folder, targets, theirs)
        manager = [
            *programs.command("alertmanager"),
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={theirs}",
            "--cluster.listen-address=",
        ]
        prometheus = [
            *programs.command("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={ours}",
            # What fires before Prometheus has found Alertmanager would be told a minute later.
            f"--rules.alert.resend-delay={_OFTEN}",
        ]
        ready = f"http://{theirs}/-/ready"
        stack.enter_context(_running(manager, folder / "alertmanager.log", ready))
        ready = f"http://{ours}/-/ready"
        stack.enter_context(_running(prometheus, folder / "prometheus.log", ready))
        yield Observatory(f"http://{ours}", f"http://{theirs}", people)
