"""Prefect's worker on a real API server, with the rights of its account and no more."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from kubernetes_asyncio.client import ApiClient
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State

from deployments.apply import apply
from deployments.pools.unstarted import look
from perennial.settings import PROJECT, OperationSettings, Settings
from tests.cluster.accounts import configuration, kubeconfig
from tests.conftest import wait_until
from tests.prefect_server import tidied_client
from tools.cluster.control_plane import Cluster, add_node, node

LOCAL = PROJECT / "k8s" / "overlays" / "local"
SPACE = "perennial-local"
OPERATION = OperationSettings(
    work_pool_type="kubernetes",
    run_image="localhost/perennial-worker:local",
    run_namespace=SPACE,
    # The shortest that there is.
    start_seconds=10,
)
_SMALL = {"cpu": "500m", "memory": "8Gi", "pods": "10"}
_LARGE = {"cpu": "4", "memory": "16Gi", "pods": "10"}


@pytest.fixture
def prefect(prefect_api: str) -> Iterator[SyncPrefectClient]:
    """Yield the client of a Prefect server that has our deployments of the local overlay."""
    with tidied_client() as client:
        yield client


@pytest.fixture
def worker(cluster: Cluster, prefect_api: str, tmp_path: Path) -> Iterator[None]:
    """Let a worker take runs, as the pod of its Deployment does."""
    add_node(cluster, node("small", _SMALL, {}))
    cluster.apply("--kustomize", str(LOCAL))
    done = cluster.kubectl("delete", "deployments,jobs", "--all", f"--namespace={SPACE}")
    assert done.returncode == 0, done.stderr
    environment = os.environ | {
        "KUBECONFIG": str(kubeconfig(cluster, "worker", SPACE, tmp_path / "kubeconfig")),
        "PREFECT_API_URL": prefect_api,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES": SPACE,
    }
    command = ("worker", "start", "--pool=perennial", "--type=kubernetes")
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *command],
            env=environment, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def _pods(cluster: Cluster) -> list[dict[str, Any]]:
    return cluster.get("pods", f"--namespace={SPACE}", "--selector=perennial.dev/role=run")


def _look(cluster: Cluster) -> None:
    """Look as the container beside the worker does."""

    async def once() -> None:
        account = configuration(cluster, "worker", SPACE)
        async with ApiClient(account) as api, get_client() as prefect:
            await look(api, prefect, OPERATION)

    asyncio.run(once())


def test_a_run_that_finds_no_room_is_crashed_and_the_one_behind_it_starts(
    cluster: Cluster, prefect: SyncPrefectClient, worker: None, tmp_path: Path
) -> None:
    settings = Settings(problems_dir=LOCAL / "problems", data_dir=tmp_path)
    deployment = apply(settings, OPERATION)["retrain/sentiment"]
    first, second = (
        prefect.create_flow_run_from_deployment(deployment, parameters={"problem": "sentiment"}).id
        for _ in range(2)
    )

    def state(run: UUID) -> State[Any]:
        found = prefect.read_flow_run(run).state
        assert found is not None
        return found

    (pod,) = wait_until(lambda: _pods(cluster), "a pod of the first run", seconds=90)
    labels = pod["metadata"]["labels"]
    assert labels["prefect.io/flow-run-id"] in {str(first), str(second)}
    taken = UUID(labels["prefect.io/flow-run-id"])
    (other,) = {first, second} - {taken}
    assert state(other).type.value == "SCHEDULED"

    def has_crashed() -> bool:
        _look(cluster)
        return state(taken).is_crashed()

    wait_until(has_crashed, "the run without room has crashed", every=0.5)
    message = state(taken).message or ""
    assert "1 Insufficient cpu" in message, message

    add_node(cluster, node("large", _LARGE, {}))

    def place() -> str | None:
        for each in _pods(cluster):
            if each["metadata"]["labels"]["prefect.io/flow-run-id"] == str(other):
                found: str | None = each["spec"].get("nodeName")
                return found
        return None

    assert wait_until(place, "the other run has a node", seconds=120) == "large"
