"""The real scheduler finds room for all pods on the nodes of k8s/cluster.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tests.conftest import wait_until
from tests.manifests import ON_AWS, render
from tools.cluster.control_plane import Cluster, add_node, node
from tools.manifests.render_job import OPERATION, prepare_job
from tools.manifests.room.__main__ import charts_of
from tools.manifests.room.amounts import Amount, total
from tools.manifests.room.nodes import Group, groups
from tools.manifests.room.pods import Pod, addon_pods, chart_pods, workloads

K8S = PROJECT / "k8s"
PRODUCTION = "perennial-production"
_IMAGE = "registry.k8s.io/pause:3.10"


def _amount(amount: Amount) -> dict[str, str]:
    return {"cpu": f"{amount.cpu}m", "memory": str(amount.memory), "pods": str(amount.pods)}


def _beside(pods: Sequence[Pod]) -> str:
    """Return pods that request what add-ons and charts do, one each."""
    items = []
    for number, pod in enumerate(pods):
        wanted = _amount(pod.amount)
        del wanted["pods"]
        container = {"name": "pause", "image": _IMAGE, "resources": {"requests": wanted}}
        name = f"{pod.name.replace('/', '-')}-{number}"
        items.append(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
             "spec": {"containers": [container]}}
        )  # fmt: skip
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


@pytest.fixture(scope="module")
def found() -> tuple[list[Pod], dict[str, Group]]:
    """What runs beside our overlays, and the groups of nodes without what is on each of them."""
    yaml = YAML(typ="safe")
    figures = yaml.load(PROJECT / "tools" / "manifests" / "room" / "figures.yaml")
    configuration, charts = yaml.load(K8S / "cluster.yaml"), charts_of(K8S / "addons")
    addons = [each["name"] for each in configuration["addons"]]
    beside, everywhere = (
        [
            *addon_pods(addons, figures["addons"], every_node=every_node),
            *chart_pods(charts, figures["charts"], every_node=every_node),
        ]
        for every_node in (False, True)
    )
    instances, amount = figures["instances"], total(pod.amount for pod in everywhere)
    nodes = groups(configuration, instances, amount, grows=True)
    return beside, {group.name: group for group in nodes}


def _add(cluster: Cluster, group: Group, number: int) -> None:
    made = node(f"{group.name}-{number}", _amount(group.room), group.labels)
    add_node(cluster, made, group.taints)


def _pods(cluster: Cluster, *arguments: str) -> list[dict[str, Any]]:
    return cluster.get("pods", *(arguments or ("--all-namespaces",)))


def _without_node(cluster: Cluster, *arguments: str) -> Iterator[tuple[str, str]]:
    """Yield each pod that the scheduler has no node for, with its reason."""
    for pod in _pods(cluster, *arguments):
        for condition in pod["status"].get("conditions", ()):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                yield pod["metadata"]["name"], condition["message"]


@pytest.fixture(scope="module")
def steady(cluster: Cluster, kubelets: None, found: tuple[list[Pod], dict[str, Group]]) -> Cluster:
    """A cluster with one node less than k8s/cluster.yaml says, and all that is steady on it."""
    beside, nodes = found
    general = nodes["general"]
    for number in range(general.there - 1):
        _add(cluster, general, number)
    cluster.apply("--namespace=default", "--filename=-", given=_beside(beside))
    expected = len(beside)
    for overlay in ON_AWS:
        cluster.apply("--kustomize", str(K8S / "overlays" / overlay))
        expected += sum(each.steady for each in workloads(overlay, render(overlay)))
    # The autoscalers bring each service to its least number of pods.
    wait_until(lambda: len(_pods(cluster)) == expected, f"{expected} pods", seconds=120)
    return cluster


def _roll(cluster: Cluster) -> None:
    done = cluster.kubectl("rollout", "restart", "deployment", f"--namespace={PRODUCTION}")
    assert done.returncode == 0, done.stderr


def test_a_node_less_has_no_room_and_the_nodes_of_the_cluster_take_a_rollout(
    steady: Cluster, found: tuple[list[Pod], dict[str, Group]]
) -> None:
    _roll(steady)
    waiting = wait_until(lambda: list(_without_node(steady)), "a pod without a node")
    assert any("Insufficient cpu" in reason for _, reason in waiting)

    general = found[1]["general"]
    _add(steady, general, general.there - 1)

    for name in ("serving", "worker", "exporter"):
        done = steady.kubectl(
            "rollout", "status", f"deployment/{name}", f"--namespace={PRODUCTION}", "--timeout=120s"
        )
        assert done.returncode == 0, done.stderr
    wait_until(lambda: not list(_without_node(steady)), "every pod has a node")


def test_a_run_waits_for_a_node_of_its_own_and_goes_nowhere_else(
    steady: Cluster, found: tuple[list[Pod], dict[str, Group]]
) -> None:
    (worker,) = (
        each for each in render("production")
        if (each["kind"], each["metadata"]["name"]) == ("Deployment", "worker")
    )  # fmt: skip
    (pool,) = worker["spec"]["template"]["spec"]["initContainers"]
    variables = {each["name"]: each.get("value") for each in pool["env"]}
    operation = OPERATION.model_copy(
        update={
            "run_namespace": PRODUCTION,
            "run_variables": json.loads(variables["OPERATION_RUN_VARIABLES"]),
        }
    )
    job = prepare_job(deployment="sentiment", flow="retrain", operation=operation)
    done = steady.kubectl("create", "--filename=-", "--output=name", given=json.dumps(job))
    assert done.returncode == 0, done.stderr
    chosen = (f"--selector=job-name={done.stdout.strip().rpartition('/')[2]}",
              f"--namespace={PRODUCTION}")  # fmt: skip

    # What the Cluster Autoscaler goes by.
    waiting = wait_until(lambda: list(_without_node(steady, *chosen)), "a run without a node")
    assert "didn't match Pod's node affinity/selector" in waiting[0][1]

    _add(steady, found[1]["runs"], 0)

    def place() -> str | None:
        (pod,) = _pods(steady, *chosen)
        name: str | None = pod["spec"].get("nodeName")
        return name

    assert wait_until(place, "a node for the run") == "runs-0"
    on_it = {
        pod["metadata"]["labels"].get("perennial.dev/role")
        for pod in _pods(steady)
        if pod["spec"].get("nodeName") == "runs-0"
    }
    assert on_it == {"run"}
