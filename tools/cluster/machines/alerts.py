"""Prometheus with our rules, on a node: it sees the pods that the one of a cluster sees.

The Prometheus that is at hand is built without Kubernetes, so it is told of them by a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tools.cluster.machines.cluster import Machines
from tools.cluster.machines.local import do
from tools.cluster.processes import Starter
from tools.programs import require
from tools.rules import derived

_PORT = 9090
_START_SECONDS = 60.0
_RUNNING = "Running"
# Job -> the role of its pods, as the PodMonitors of k8s/monitoring have them.
_JOBS = {"serving": "serving", "flows": "exporter"}


@dataclass(frozen=True)
class Alerts:
    """What Prometheus says.

    Attributes
    ----------
    live : Machines
        On whose node it is.
    home : Path
        Where it is told of the pods.
    """

    live: Machines
    home: Path

    def names(self) -> set[str]:
        """Return the alerts that are firing or about to, and tell Prometheus of the pods."""
        self.tell()
        answer = self.live.node.space.run(
            "curl", "--silent", "--fail", f"http://127.0.0.1:{_PORT}/api/v1/alerts"
        )
        found = json.loads(answer)["data"]["alerts"]
        return {
            each["labels"]["alertname"] + ("" if each["state"] == "firing" else " (pending)")
            for each in found
        }

    def tell(self) -> None:
        """Write which pods there are."""
        pods = json.loads(do(self.live.cluster, "get", "pods", "--output=json"))["items"]
        for job, role in _JOBS.items():
            scratch = self.home / f"{job}.new"
            scratch.write_text(json.dumps(list(targets(pods, role))))
            scratch.replace(self.home / f"{job}.json")


def targets(pods: list[dict[str, Any]], role: str) -> Iterator[dict[str, object]]:
    """Yield what Prometheus scrapes of some pods: those of a role that run.

    Parameters
    ----------
    pods : list of dict
        As the API server has them.
    role : str
        Their label ``perennial.dev/role``.
    """
    for pod in pods:
        about, address = pod["metadata"], pod["status"].get("podIP")
        is_running = pod["status"]["phase"] == _RUNNING and address
        if not is_running or about["labels"].get("perennial.dev/role") != role:
            continue
        for container in pod["spec"]["containers"]:
            for port in container.get("ports", ()):
                if port.get("name") == "metrics":
                    labels = {"namespace": about["namespace"], "pod": about["name"]}
                    target = f"{address}:{port['containerPort']}"
                    yield {"targets": [target], "labels": labels}


@contextmanager
def prometheus(live: Machines, home: Path) -> Iterator[Alerts]:
    """Start Prometheus, and end it.

    Parameters
    ----------
    live : Machines
        A cluster.
    home : Path
        An empty folder of its own.

    Raises
    ------
    OutsideError
        If it does not start.
    """
    (home / "rules.yml").write_text(derived())
    with (home / "prometheus.yml").open("w") as file:
        YAML(typ="safe").dump(
            {
                "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
                "rule_files": [str(home / "rules.yml")],
                "scrape_configs": [
                    {"job_name": job, "file_sd_configs": [{"files": [str(home / f"{job}.json")]}]}
                    for job in _JOBS
                ],
            },
            file,
        )
    found = Alerts(live, home)
    found.tell()
    with ExitStack() as running:
        server = Starter(home, running, require)(
            "prometheus",
            f"--config.file={home / 'prometheus.yml'}",
            f"--storage.tsdb.path={home / 'series'}",
            f"--web.listen-address=127.0.0.1:{_PORT}",
            inside=live.node.space.inside,
        )
        ready = ("curl", "--silent", "--fail", f"http://127.0.0.1:{_PORT}/-/ready")
        server.wait_until(lambda: live.node.space.why_not(*ready), _START_SECONDS)
        yield found
