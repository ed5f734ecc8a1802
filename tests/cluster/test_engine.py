"""The engine on a real API server: the operator of Dask makes what a run needs, and removes it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perennial.errors import OutsideError
from perennial.settings import PROJECT
from tests.cluster.dask_operator import OPERATOR, add_operator, operator
from tests.cluster.selecting import policies_of, selects
from tests.conftest import wait_until
from tests.manifests import with_engine
from tools.cluster.control_plane import Cluster, add_node, node

SPACE = "perennial-production"
ENGINE = PROJECT / "k8s" / "engine"
_RUNS = {"perennial.dev/nodes": "runs"}
_ROOM = {"cpu": "16", "memory": "64Gi", "pods": "110"}
_VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "engine"},
    "spec": {
        "capacity": {"storage": "100Gi"},
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "engine",
        "csi": {"driver": "efs.csi.aws.com", "volumeHandle": "fs-1"},
    },
}


@pytest.fixture(scope="module")
def operated(
    cluster: Cluster, kubelets: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Production with the engine, on nodes, with the operator of Dask."""
    if not (OPERATOR / "done").exists():
        pytest.skip("the operator of Dask is not installed: `make test-cluster` installs it")
    add_operator(cluster)
    add_node(cluster, node("general-0", _ROOM, {}))
    taint = {"key": "perennial.dev/nodes", "value": "runs", "effect": "NoSchedule"}
    add_node(cluster, node("runs-0", _ROOM, _RUNS), [taint])
    cluster.apply("--filename=-", given=json.dumps(_VOLUME))
    overlay = with_engine(tmp_path_factory.mktemp("k8s"))
    cluster.apply("--kustomize", str(overlay))
    with operator(cluster, tmp_path_factory.mktemp("operator"), SPACE):
        yield cluster


def _pods(cluster: Cluster, part: str) -> list[dict[str, Any]]:
    chosen = f"--selector=dask.org/component={part}"
    return cluster.get("pods", f"--namespace={SPACE}", chosen)


def _running(cluster: Cluster, part: str, count: int) -> list[dict[str, Any]]:
    """Wait for the pods of a part to run; return them."""

    def found() -> list[dict[str, Any]]:
        pods = _pods(cluster, part)
        done = all(pod["status"]["phase"] == "Running" for pod in pods)
        return pods if done and len(pods) == count else []

    running: list[dict[str, Any]] = wait_until(found, f"{count} of {part} run", 120, every=0.5)
    return running


def _start(cluster: Cluster) -> subprocess.Popen[str]:
    """Type what the page says."""
    return subprocess.Popen(
        ["make", "engine", "OVERLAY=production", "RUN=experiment sentiment"],
        cwd=PROJECT, env=os.environ | {"KUBECONFIG": str(cluster.kubeconfig)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def _end_run(cluster: Cluster, phase: str) -> None:
    """Say of the run's pod that it has ended, as a kubelet would."""
    # The command has done its part then.
    _do(cluster, "wait", "--for=create", "daskautoscaler/engine", "--timeout=60s")
    patch = json.dumps({"status": {"phase": phase}})
    _do(cluster, "patch", "pod", "engine-runner", "--subresource=status", f"--patch={patch}")


def _is_gone(cluster: Cluster) -> None:
    kinds = "daskjobs,daskclusters,daskworkergroups,daskautoscalers"
    wait_until(lambda: not cluster.get(kinds, f"--namespace={SPACE}"), "the run is gone", every=0.5)
    chosen = "--selector=dask.org/cluster-name=engine"
    wait_until(
        lambda: not cluster.get("deployments,services,pods", f"--namespace={SPACE}", chosen),
        "so is what it was made of", 120, every=0.5,
    )  # fmt: skip


def _do(cluster: Cluster, *arguments: str, given: str | None = None) -> str:
    done = cluster.kubectl(f"--namespace={SPACE}", *arguments, given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_production_with_the_engine_is_accepted_and_nothing_differs_afterwards(
    operated: Cluster, tmp_path: Path
) -> None:
    overlay = with_engine(tmp_path / "k8s")

    diff = operated.kubectl("diff", "--server-side", "--kustomize", str(overlay))

    assert (diff.returncode, diff.stdout) == (0, ""), diff.stderr
    operated.apply(f"--filename={ENGINE / 'storage-class.yaml'}")


def test_a_misspelt_field_of_a_run_is_rejected(operated: Cluster) -> None:
    text = (ENGINE / "run.yaml").read_text().replace("nodeSelector:", "nodeSelektor:")

    with pytest.raises(OutsideError, match="nodeSelektor"):
        operated.apply(f"--namespace={SPACE}", "--filename=-", given=text)


@pytest.mark.timeout(900)
def test_a_run_gets_a_scheduler_and_workers_in_its_own_network_and_leaves_none_of_them(
    operated: Cluster,
) -> None:
    command = _start(operated)

    (scheduler,) = _running(operated, "scheduler", 1)
    workers = _running(operated, "worker", 2)
    (run,) = _running(operated, "job-runner", 1)

    # Of what is there once, nothing is on a machine that may be taken away.
    places = [pod["spec"]["nodeName"] for pod in (scheduler, run, *workers)]
    assert places == ["general-0", "general-0", "runs-0", "runs-0"]
    everybody = {"default-deny", "names"}
    for pod, policies in (
        (scheduler, {"engine-scheduler"}),
        (workers[0], {"engine-worker"}),
        (run, {"servers", "identity", "engine-run"}),
    ):
        name = pod["metadata"]["name"]
        assert policies_of(operated, SPACE, name) == everybody | policies
        secrets = {each["secretRef"]["name"] for container in pod["spec"]["containers"]
                   for each in container.get("envFrom", ()) if "secretRef" in each}  # fmt: skip
        assert secrets == ({"worker"} if pod is run else set())
    for service in operated.get("services", f"--namespace={SPACE}"):
        selector = {"matchLabels": service["spec"]["selector"]}
        selected = [pod for pod in (scheduler, run, *workers)
                    if selects(operated, SPACE, selector, pod["metadata"]["name"])]  # fmt: skip
        assert selected == (
            [scheduler] if service["metadata"]["name"] == "engine-scheduler" else []
        )

    _end_run(operated, "Succeeded")

    # The operator is outside of the cluster, and asks for long how many workers there should be.
    said, _ = command.communicate(timeout=400)
    assert command.returncode == 0, said
    _is_gone(operated)


@pytest.mark.timeout(900)
def test_a_run_that_fails_ends_the_command_with_its_failure_and_is_gone_as_well(
    operated: Cluster,
) -> None:
    command = _start(operated)
    _running(operated, "job-runner", 1)

    _end_run(operated, "Failed")

    said, _ = command.communicate(timeout=400)
    assert command.returncode != 0, said
    _is_gone(operated)
