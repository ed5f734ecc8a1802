"""A run on Kubernetes that cannot start is ended, and says why."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration
from prefect import flow, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed, Pending, Running

from deployments.pools.unstarted import LOOKED, look, watch
from perennial.settings import OperationSettings
from tests.conftest import free_port
from tests.manifests import find, render

SPACE = "perennial-test"
OPERATION = OperationSettings(run_namespace=SPACE, start_seconds=900)
Yaml = dict[str, Any]


def _waiting(reason: str, message: str | None = None) -> Yaml:
    waiting = {"reason": reason, "message": message}
    about = {"name": "prefect-job", "ready": False, "restartCount": 0, "image": "", "imageID": ""}
    return {"containerStatuses": [{**about, "state": {"waiting": waiting}}]}


IMAGE = _waiting("ImagePullBackOff", "Back-off pulling image gone@sha256:0")
SECRET = _waiting("CreateContainerConfigError", 'secret "worker" not found')
STARTING = _waiting("ContainerCreating")
_NO_ROOM = "0/2 nodes are available: 2 Insufficient cpu."
ROOM = {
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": _NO_ROOM,
        }
    ]
}


@dataclass
class Cluster:
    """What stands in for the API of Kubernetes: Jobs, pods and events, and what was deleted."""

    jobs: list[Yaml] = field(default_factory=list)
    pods: list[Yaml] = field(default_factory=list)
    events: list[Yaml] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def add(
        self, run: UUID, *, seconds: int, status: Yaml | None, phase: str = "Pending", **job: Any
    ) -> str:
        """Add the Job of a run, made so long ago, with a pod or without."""
        name = f"run-{len(self.jobs)}"
        made = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
        labels = {"prefect.io/flow-run-id": str(run)}
        about = {"name": name, "labels": labels, "creationTimestamp": made}
        self.jobs.append({"metadata": about, "status": job})
        if status is not None:
            about = {"name": f"{name}-pod", "labels": {"job-name": name}}
            self.pods.append({"metadata": about, "status": {"phase": phase, **status}})
        return name

    def warn(self, name: str, reason: str, message: str, second: int) -> None:
        """Add an event about an object."""
        at = f"2026-01-01T00:00:{second:02}Z"
        about = {"name": f"event-{len(self.events)}", "creationTimestamp": at}
        self.events.append(
            {"metadata": about, "involvedObject": {"name": name}, "reason": reason,
             "message": message, "type": "Warning"}
        )  # fmt: skip

    def answer(self, address: str) -> Yaml:
        """Return the list that is asked for."""
        asked = urlsplit(address)
        if asked.path == f"/apis/batch/v1/namespaces/{SPACE}/jobs":
            return {"kind": "JobList", "items": self.jobs}
        if asked.path == f"/api/v1/namespaces/{SPACE}/events":
            return {"kind": "EventList", "items": self.events}
        (selector,) = parse_qs(asked.query).get("labelSelector", ["="])
        key, _, value = selector.partition("=")
        chosen = [pod for pod in self.pods if pod["metadata"]["labels"].get(key) == value]
        return {"kind": "PodList", "items": chosen}


@contextmanager
def _answering(cluster: Cluster) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def _send(self, content: Yaml | str) -> None:
            body = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(200)
            kind = "text/plain" if isinstance(content, str) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            if urlsplit(self.path).path.endswith("/log"):
                self._send("Unable to connect to ws://prefect:4200/api: timed out\n")
            else:
                self._send(cluster.answer(self.path))

        def do_DELETE(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            assert parse_qs(urlsplit(self.path).query)["propagationPolicy"] == ["Background"]
            cluster.deleted.append(self.path.rpartition("/")[2].partition("?")[0])
            self._send({"kind": "Status", "status": "Success"})

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@flow(name="started")
def _started() -> None:
    """Do nothing; it is never called."""


async def _run(state: State[Any]) -> FlowRun:
    async with get_client() as client:
        return await client.create_flow_run(_started, state=state)


async def _state(run: UUID) -> State[Any]:
    async with get_client() as client:
        found = (await client.read_flow_run(run)).state
        assert found is not None
        return found


def _look(cluster: Cluster) -> None:
    async def once(host: str) -> None:
        async with ApiClient(Configuration(host=host)) as api, get_client() as prefect:
            await look(api, prefect, OPERATION)

    with _answering(cluster) as host:
        asyncio.run(once(host))


def _pending() -> UUID:
    return asyncio.run(_run(Pending(name="InfrastructurePending"))).id


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (IMAGE, "ImagePullBackOff: Back-off pulling image gone@sha256:0"),
        (SECRET, 'CreateContainerConfigError: secret "worker" not found'),
        (ROOM, f"Unschedulable: {_NO_ROOM}"),
    ],
)
def test_a_run_that_cannot_start_is_crashed_with_the_cause_and_its_job_is_gone(
    prefect_api: str, status: Yaml, cause: str
) -> None:
    cluster, run = Cluster(), _pending()
    job = cluster.add(run, seconds=800, status=status)

    _look(cluster)

    state = asyncio.run(_state(run))
    assert (state.is_crashed(), state.message) == (
        True, f"The run did not begin within 720 s: {cause}"
    )  # fmt: skip
    assert cluster.deleted == [job]


def test_a_volume_that_is_missing_and_a_pod_that_is_refused_are_named_by_their_last_warning(
    prefect_api: str,
) -> None:
    cluster, mounting, refused = Cluster(), _pending(), _pending()
    first = cluster.add(mounting, seconds=800, status=STARTING)
    second = cluster.add(refused, seconds=800, status=None)
    cluster.warn(f"{first}-pod", "FailedMount", "an older one", 1)
    cluster.warn(f"{first}-pod", "FailedMount", 'configmap "problems" not found', 3)
    cluster.warn(second, "FailedCreate", "exceeded quota: cpu", 2)
    cluster.warn("another", "BackOff", "something else", 9)

    _look(cluster)

    messages = [asyncio.run(_state(run)).message for run in (mounting, refused)]
    assert messages == [
        'The run did not begin within 720 s: FailedMount: configmap "problems" not found',
        "The run did not begin within 720 s: FailedCreate: exceeded quota: cpu",
    ]
    assert cluster.deleted == [first, second]


def test_a_run_that_may_still_start_or_has_started_is_left_alone(prefect_api: str) -> None:
    cluster, young, ended, moved = Cluster(), _pending(), _pending(), _pending()
    running = asyncio.run(_run(Running())).id
    cluster.add(young, seconds=600, status=ROOM)
    cluster.add(running, seconds=9000, status={}, phase="Running")
    cluster.add(moved, seconds=9000, status={}, phase="Running")
    cluster.pods[-1]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    over = [{"type": "Complete", "status": "True"}]
    cluster.add(ended, seconds=9000, status=None, conditions=over)

    _look(cluster)

    assert cluster.deleted == []
    assert all(asyncio.run(_state(run)).is_pending() for run in (young, ended, moved))
    assert asyncio.run(_state(running)).is_running()


def test_a_run_whose_pod_does_not_reach_prefect_is_crashed_with_the_end_of_its_log(
    prefect_api: str,
) -> None:
    cluster, run = Cluster(), _pending()
    job = cluster.add(run, seconds=800, status={}, phase="Running")

    _look(cluster)

    state = asyncio.run(_state(run))
    assert state.is_crashed()
    assert state.message == (
        "The run did not begin within 720 s: its pod runs and does not reach Prefect: "
        "Unable to connect to ws://prefect:4200/api: timed out"
    )
    assert cluster.deleted == [job]


@pytest.mark.parametrize("state", [Completed(), Running()])
def test_a_state_that_a_run_has_reached_by_itself_is_kept(
    prefect_api: str, state: State[Any]
) -> None:
    run = asyncio.run(_run(state)).id
    cluster = Cluster()
    job = cluster.add(run, seconds=800, status=ROOM)

    _look(cluster)

    assert asyncio.run(_state(run)).type == state.type
    assert cluster.deleted == [job]


def test_the_job_of_a_run_that_was_deleted_in_prefect_goes_too(prefect_api: str) -> None:
    cluster = Cluster()
    job = cluster.add(uuid4(), seconds=800, status=ROOM)

    _look(cluster)

    assert cluster.deleted == [job]


def test_the_watch_goes_on_while_kubernetes_is_away_and_shows_its_probes_that_it_does(
    prefect_api: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    looked = tmp_path / LOOKED

    async def until_looked() -> None:
        configuration = Configuration(host=f"http://127.0.0.1:{free_port()}")
        async with ApiClient(configuration) as api, get_client() as prefect:
            watching = asyncio.create_task(watch(api, prefect, OPERATION, looked))
            async with asyncio.timeout(60):
                while not looked.exists():
                    await asyncio.sleep(0.05)
            assert not watching.done()
            watching.cancel()

    asyncio.run(until_looked())

    assert "Kubernetes or Prefect does not answer" in caplog.text


def test_the_probes_look_at_the_file_that_is_touched() -> None:
    worker = find(render("staging"), "Deployment", "worker")["spec"]["template"]["spec"]
    (watcher,) = (each for each in worker["containers"] if each["name"] == "unstarted")

    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert f"/tmp/{LOOKED}" in " ".join(watcher[probe]["exec"]["command"])
