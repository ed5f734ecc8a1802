"""A run that the cluster cannot start is ended, with the rights of the worker and no more."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from kubernetes_asyncio.client import ApiClient
from prefect import flow, get_client
from prefect.client.schemas.objects import State
from prefect.states import Pending

from deployments.pools.unstarted import look
from perennial.settings import PROJECT, OperationSettings
from tests.cluster.accounts import configuration
from tests.conftest import wait_until
from tools.cluster.control_plane import Cluster, add_node, node
from tools.manifests.render_job import OPERATION, prepare_job

SPACE = "perennial-local"
# The shortest that there is.
SOON = OperationSettings(run_namespace=SPACE, start_seconds=10)
_SMALL = {"cpu": "500m", "memory": "8Gi", "pods": "10"}


@pytest.fixture(scope="module")
def local(cluster: Cluster) -> Cluster:
    """The local overlay without its pods, on a node that has no room for a run."""
    add_node(cluster, node("small", _SMALL, {}))
    cluster.apply("--kustomize", str(PROJECT / "k8s" / "overlays" / "local"))
    done = cluster.kubectl("delete", "deployments,jobs", "--all", f"--namespace={SPACE}")
    assert done.returncode == 0, done.stderr
    return cluster


@flow(name="unstarted")
def _unstarted() -> None:
    """Do nothing; it is never called."""


async def _taken() -> UUID:
    """Return a run that a worker has taken."""
    async with get_client() as client:
        state: State[Any] = Pending(name="InfrastructurePending")
        return (await client.create_flow_run(_unstarted, state=state)).id


async def _state(run: UUID) -> State[Any]:
    async with get_client() as client:
        found = (await client.read_flow_run(run)).state
        assert found is not None
        return found


def _start(cluster: Cluster, run: UUID, **variables: Any) -> str:
    """Make the Job of a run, as Prefect's worker does; return its name."""
    operation = OPERATION.model_copy(update={"run_variables": variables})
    job = prepare_job(deployment="sentiment", flow="retrain", operation=operation)
    job["metadata"]["labels"]["prefect.io/flow-run-id"] = str(run)
    done = cluster.kubectl("create", "--filename=-", "--output=name", given=json.dumps(job))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().rpartition("/")[2]


def _look_until_it_has_crashed(cluster: Cluster, run: UUID) -> str:
    """Look as the container beside the worker does; return what the run says at its end."""

    async def once() -> State[Any]:
        async with (
            ApiClient(configuration(cluster, "worker", SPACE)) as api,
            get_client() as prefect,
        ):
            await look(api, prefect, SOON)
        return await _state(run)

    def crashed() -> State[Any] | None:
        state = asyncio.run(once())
        return state if state.is_crashed() else None

    message: str = wait_until(crashed, "a run that has crashed", every=0.5).message
    return message


def _is_gone(cluster: Cluster, job: str) -> bool:
    return not cluster.get("pods", f"--namespace={SPACE}", f"--selector=job-name={job}") and (
        job not in {each["metadata"]["name"] for each in cluster.get("jobs", f"-n={SPACE}")}
    )


@pytest.mark.parametrize(
    ("variables", "cause"),
    [
        ({"cpu_request": "2"}, "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."),
        (
            {"node_selector": {"perennial.dev/nodes": "runs"}},
            "Unschedulable: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity",
        ),
        (
            {"volumes": [{"name": name, "persistentVolumeClaim": {"claimName": "gone"}}
                         for name in ("tmp", "data")]},
            'Unschedulable: 0/1 nodes are available: persistentvolumeclaim "gone" not found.',
        ),
    ],
    ids=["no room", "no such node", "no volume"],
)  # fmt: skip
def test_a_run_without_a_node_is_crashed_in_the_words_of_the_scheduler_and_its_pod_is_gone(
    local: Cluster, prefect_api: str, variables: dict[str, Any], cause: str
) -> None:
    run = asyncio.run(_taken())
    job = _start(local, run, **variables)

    message = _look_until_it_has_crashed(local, run)

    assert message.startswith(f"The run did not begin within 8 s: {cause}")
    wait_until(lambda: _is_gone(local, job), "the Job and its pod are gone")


def test_a_run_beyond_the_quota_is_crashed_with_what_the_quota_says(
    local: Cluster, prefect_api: str
) -> None:
    made = local.kubectl("create", "quota", "none", "--hard=pods=0", f"--namespace={SPACE}")
    assert made.returncode == 0, made.stderr
    run = asyncio.run(_taken())
    try:
        job = _start(local, run)
        message = _look_until_it_has_crashed(local, run)
    finally:
        local.kubectl("delete", "quota", "none", f"--namespace={SPACE}")

    assert "FailedCreate: " in message
    assert "exceeded quota: none" in message
    wait_until(lambda: _is_gone(local, job), "the Job is gone")
