"""Every command of the manifests, in our images: a whole system in containers, without Kubernetes.

The containers share one network, as `localhost`; for MongoDB a server outside of them stands in.
What Kubernetes adds is not here: the worker asks for it, and says that it is not there.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tests.conftest import free_port, wait_until
from tests.e2e.podman import LIMITS, SERVING, WORKER, podman, require_images
from tests.manifests import containers, pods, render
from tests.mongodb_users import Guarded, guarded_mongodb

pytestmark = [pytest.mark.container, pytest.mark.e2e]

_PORTS = {"prefect": 4200, "mlflow": 5000, "worker": 8080, "exporter": 9464, "serving": 80}
_START_SECONDS = 180.0
_SIZES = {"Mi": "m", "Gi": "g"}


def _specifications() -> dict[str, dict[str, Any]]:
    """Every container of the local overlay by its name, the client of the load test, and a run."""
    found = {each["name"]: each for _, pod in pods(render("local")) for each in containers(pod)}
    load = YAML(typ="safe").load(PROJECT / "k8s" / "overlays" / "local" / "load" / "pod.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "tools.manifests.render_job"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    (run,) = json.loads(done.stdout)["spec"]["template"]["spec"]["containers"]
    return found | {"load": load["spec"]["containers"][0], "prefect-job": run}


@dataclass
class System:
    """The containers of one system; the first one owns their network."""

    folder: Path
    specifications: dict[str, dict[str, Any]]
    tried: set[str] = field(default_factory=set)
    _ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in _PORTS})
    _started: list[str] = field(default_factory=list)

    def client(self, name: str) -> httpx.Client:
        """A client of a server in a container, from outside."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self._ports[name]}", timeout=20)

    def run(self, name: str, *options: str, detach: bool = False, **environment: str) -> str:
        """Run a container as its manifest says; return what it printed, or its id."""
        done = self._podman(name, *options, detach=detach, environment=environment)
        assert done.returncode == 0, f"{name}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()

    def fail(self, name: str, *options: str, **environment: str) -> str:
        """Run a container that must end with an error; return what it printed."""
        done = self._podman(name, *options, environment=environment)
        assert done.returncode, f"{name} succeeded: {done.stdout}"
        return done.stdout + done.stderr

    def start(self, name: str, *options: str, path: str, **environment: str) -> str:
        """Start a server of a container and wait until it answers at a path; return its id."""
        container = self.run(name, *options, detach=True, **environment)

        def answers() -> bool:
            state = podman("inspect", "--format", "{{.State.Running}}", container)
            logs = podman("logs", container)
            assert state.stdout.strip() == "true", f"{name}: {logs.stdout}{logs.stderr}"
            try:
                with self.client(name) as client:
                    return client.get(path).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers, f"{name} answers", _START_SECONDS, every=0.2)
        return container

    def end(self) -> None:
        """Remove the containers, the one with the network last."""
        for container in reversed(self._started):
            podman("rm", "--force", "--time", "5", container, check=False)

    @property
    def gateway(self) -> str:
        """The address of this machine, as the containers see it."""
        found = podman("inspect", "--format", "{{.NetworkSettings.Gateway}}", self._started[0])
        return found.stdout.strip()

    def _podman(
        self, name: str, *options: str, environment: dict[str, str], detach: bool = False
    ) -> subprocess.CompletedProcess[str]:
        specification = self.specifications[name]
        self.tried.add(name)
        number, unit = (
            specification["resources"]["limits"]["memory"][:-2],
            specification["resources"]["limits"]["memory"][-2:],
        )
        memory = f"{number}{_SIZES[unit]}"
        variables = self._variables(specification) | environment
        mounts = (
            f"--tmpfs={mount['mountPath']}:size=1g"
            for mount in specification["volumeMounts"]
            if not mount.get("readOnly")
        )
        command = [*specification.get("command", []), *specification.get("args", [])]
        done = podman(
            "run",
            *(("--detach",) if detach else ("--rm",)),
            "--no-healthcheck",
            *LIMITS,
            f"--memory={memory}",
            f"--memory-swap={memory}",
            *self._network(),
            *mounts,
            *(f"--env={key}={value}" for key, value in variables.items()),
            *options,
            SERVING if "serving" in specification["image"] else WORKER,
            *command,
            check=False,
        )
        if detach and done.returncode == 0:
            self._started.append(done.stdout.strip())
        return done

    def _network(self) -> list[str]:
        if self._started:
            return [f"--network=container:{self._started[0]}"]
        published = (
            f"--publish=127.0.0.1:{self._ports[name]}:{port}" for name, port in _PORTS.items()
        )
        # The service answers on the port of its Service, and on its name.
        sysctl = "--sysctl=net.ipv4.ip_unprivileged_port_start=0"
        return [*published, sysctl, "--add-host=serving:127.0.0.1"]

    def _variables(self, specification: dict[str, Any]) -> dict[str, str]:
        """The variables that the manifest itself sets, the fields of the pod filled in."""
        found: dict[str, str] = {}
        for each in specification.get("env", []):
            value = each.get("value", "perennial-local")
            for key, known in found.items():
                value = value.replace(f"$({key})", known)
            if isinstance(value, str) and each["name"] != "PREFECT__FLOW_RUN_ID":
                found[each["name"]] = value
        return found


@contextmanager
def _reachable_mongodb(folder: Path) -> Iterator[Guarded]:
    """A MongoDB that containers reach, with a password because others may, too."""
    with guarded_mongodb(folder, host="0.0.0.0", flows="of-the-flows") as server:
        yield server


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """An empty system, ended at last."""
    require_images()
    found = System(tmp_path_factory.mktemp("system"), _specifications())
    yield found
    found.end()


def _write_reviews(folder: Path, snippets: list[tuple[str, int]]) -> Path:
    folder.mkdir()
    with (folder / "reviews.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(snippets)
    return folder


def test_every_command_of_the_manifests_does_its_work_in_our_images_secantusdb_for_mongodb(
    system: System, snippets: list[tuple[str, int]], tmp_path: Path
) -> None:
    reviews = _write_reviews(tmp_path / "reviews", snippets)
    overlay = PROJECT / "k8s" / "overlays" / "local"
    with _reachable_mongodb(tmp_path / "mongodb") as mongodb:
        system.start("prefect", path="/api/health")
        with system.client("prefect") as client:
            assert "<html" in client.get("/", follow_redirects=True).text
        servers = {
            "MLFLOW_TRACKING_URI": "http://localhost:5000",
            "PREFECT_API_URL": "http://localhost:4200/api",
            "MONGODB_URI": mongodb.uri("flows", "of-the-flows", host=system.gateway),
        }
        system.start("mlflow", path="/health")

        template = PROJECT / "k8s" / "base" / "worker"
        said = system.run("pool", f"--volume={template}:/etc/perennial:ro", **servers)
        assert "Prefect has the deployments" in said
        worker = system.start(
            "worker", f"--volume={template}:/etc/perennial:ro", path="/health", **servers
        )
        wait_until(
            lambda: "KubernetesWorker" in podman("logs", worker).stdout,
            "the worker says that it has started",
            every=0.2,
        )

        said = system.run(
            "retrain",
            f"--volume={reviews}:/reviews:ro",
            f"--volume={overlay / 'problems'}:/problems:ro",
            **servers,
        )
        assert "Production is now version 1" in said
        said = system.fail("prefect-job", **servers)
        assert "flow run" in said.lower() or "flow_run" in said.lower()

        system.start("exporter", path="/metrics", **servers)
        with system.client("exporter") as client:
            assert (
                'perennial_production_version{problem="sentiment"} 1.0'
                in client.get("/metrics").text
            )

        # Nobody outside of the pod's network reaches it.
        offered = {**servers, "SERVING_OPEN": "true"}
        assert system.run("check", **offered) == ""
        system.start("serving", path="/readyz", **offered, SERVING_PORT="80")
        with system.client("serving") as client:
            answer = client.post("/classify", json={"inputs": ["a warm and funny film"]})
        assert answer.json()["predictions"][0]["version"] == 1

        load = system.run(
            "load", f"--volume={PROJECT / 'k8s' / 'scripts'}:/load:ro", detach=True,
        )  # fmt: skip
        podman("exec", load, "touch", "/tmp/end")
        podman("wait", load)
        assert " 0 failed" in podman("logs", load).stdout

    # MongoDB's own image is not ours.
    assert system.tried == set(system.specifications) - {"mongodb"}
