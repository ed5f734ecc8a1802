"""Room on the nodes: whatever the overlays request fits on the nodes of the cluster."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from perennial.errors import OutsideError
from perennial.settings import PROJECT
from tests.manifests import OVERLAYS, find, render
from tools.manifests.room.__main__ import Case, charts_of, engine_pods, on_eks, on_minikube, run_of
from tools.manifests.room.amounts import MEBIBYTE, Amount, quantity, requested, total
from tools.manifests.room.nodes import Group, allocatable, groups
from tools.manifests.room.packing import pack
from tools.manifests.room.pods import Pod, addon_pods, chart_pods, pod_of

ADDONS = PROJECT / "k8s" / "addons"
LARGE = {"cpu": 2, "memory": "8Gi", "interfaces": 3, "addresses": 10}
Yaml = dict[str, Any]


def _load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


@pytest.fixture(scope="module")
def overlays() -> dict[str, list[Yaml]]:
    return {overlay: render(overlay) for overlay in OVERLAYS}


@pytest.fixture(scope="module")
def figures() -> Yaml:
    found: Yaml = _load(PROJECT / "tools" / "manifests" / "room" / "figures.yaml")
    return found


@pytest.fixture
def cluster() -> Yaml:
    found: Yaml = _load(PROJECT / "k8s" / "cluster.yaml")
    return found


def _findings(cases: list[Case]) -> list[str]:
    return [finding for case in cases for finding in case.findings(str)]


def _on_eks(
    overlays: dict[str, list[Yaml]], cluster: Yaml, figures: Yaml, **left_out: Any
) -> list[str]:
    charts = charts_of(ADDONS)
    for name in left_out.get("charts", ()):
        del charts[name]
    engine = engine_pods(PROJECT / "k8s" / "engine")
    return _findings(list(on_eks(overlays, cluster, figures, charts, engine)))


def test_every_pod_of_the_cluster_finds_room(
    overlays: dict[str, list[Yaml]], cluster: Yaml, figures: Yaml
) -> None:
    assert _on_eks(overlays, cluster, figures) == []


def test_fewer_nodes_for_runs_have_no_room_for_all_workers_of_the_engine(
    overlays: dict[str, list[Yaml]], cluster: Yaml, figures: Yaml
) -> None:
    (runs,) = (group for group in cluster["managedNodeGroups"] if group["name"] == "runs")
    runs["maxSize"] = 4

    found = _on_eks(overlays, cluster, figures)

    assert found
    assert all("engine/worker (800m CPU, 2,560 MiB) finds no room" in each for each in found)


def test_the_local_overlay_fits_on_a_small_node_with_a_run(
    overlays: dict[str, list[Yaml]], figures: Yaml
) -> None:
    assert figures["minikube"]["cpu"] == 2
    assert _findings(list(on_minikube(overlays["local"], figures))) == []


def test_two_nodes_have_no_room_for_a_rollout(
    overlays: dict[str, list[Yaml]], cluster: Yaml, figures: Yaml
) -> None:
    (general,) = (group for group in cluster["managedNodeGroups"] if group["name"] == "general")
    general["desiredCapacity"] = 2

    found = _on_eks(overlays, cluster, figures)

    assert any(finding.startswith("everything steady, and a rollout") for finding in found)
    assert "A node of general has 1,755m CPU" in found[0]


def test_without_what_adds_nodes_no_run_finds_one(
    overlays: dict[str, list[Yaml]], cluster: Yaml, figures: Yaml
) -> None:
    found = _on_eks(overlays, cluster, figures, charts=["cluster-autoscaler"])

    assert any("production/run (1,000m CPU, 2,048 MiB) finds no room" in each for each in found)


def test_two_nodes_that_nothing_adds_to_have_no_room_for_a_rollout_a_run_or_all_of_production(
    overlays: dict[str, list[Yaml]], cluster: Yaml, figures: Yaml
) -> None:
    (general,) = (group for group in cluster["managedNodeGroups"] if group["name"] == "general")
    general.update(desiredCapacity=2, minSize=2, maxSize=6)
    cluster["managedNodeGroups"] = [general]
    many = copy.deepcopy(overlays)
    find(many["production"], "HorizontalPodAutoscaler", "serving")["spec"]["maxReplicas"] = 20

    found = _on_eks(many, cluster, figures, charts=["cluster-autoscaler"])

    for when in ("everything steady, and a rollout", "a run", "the maximum of every autoscaler"):
        assert any(when in finding for finding in found), (when, found)


def test_a_higher_maximum_of_an_autoscaler_needs_more_nodes(
    overlays: dict[str, list[Yaml]], cluster: Yaml, figures: Yaml
) -> None:
    more = copy.deepcopy(overlays)
    find(more["production"], "HorizontalPodAutoscaler", "serving")["spec"]["maxReplicas"] = 40

    found = _on_eks(more, cluster, figures)

    assert found
    assert all(each.startswith("the maximum of every autoscaler") for each in found)


def test_a_run_on_aws_is_on_nodes_of_its_own(
    overlays: dict[str, list[Yaml]], cluster: Yaml, figures: Yaml
) -> None:
    nodes = groups(cluster, figures["instances"], Amount(), grows=True)
    admitting = {
        name: [group.name for group in nodes if group.admits(run_of(name, overlays[name]))]
        for name in ("staging", "production")
    }
    serving = find(overlays["staging"], "Deployment", "serving")["spec"]["template"]["spec"]

    assert admitting == {"staging": ["runs"], "production": ["runs"]}
    assert [group.name for group in nodes if group.admits(pod_of("serving", serving))] == [
        "general"
    ]


def test_what_is_added_to_the_cluster_must_be_counted(cluster: Yaml, figures: Yaml) -> None:
    with pytest.raises(OutsideError, match="the add-on aws-ebs-csi-driver: write what its pods"):
        addon_pods(["aws-ebs-csi-driver"], figures["addons"], every_node=False)
    with pytest.raises(OutsideError, match=r"charts\.txt has loki: write its pods"):
        chart_pods({"loki": {}}, figures["charts"], every_node=False)
    with pytest.raises(
        OutsideError, match=r"reloader\.yaml names no requests at reloader\.deployment"
    ):
        chart_pods({"reloader": {"reloader": None}}, figures["charts"], every_node=False)
    cluster["managedNodeGroups"][0]["instanceTypes"].append("t3.micro")
    with pytest.raises(OutsideError, match=r"nodes of the type t3\.micro"):
        groups(cluster, figures["instances"], Amount(), grows=True)


def test_a_node_of_eks_keeps_for_itself_what_amazon_linux_reserves() -> None:
    """As a node says of itself: 1,930m of 2 CPUs, 3,920m of 4, 15,890m of 16; 29 and 58 pods."""
    four = {"cpu": 4, "memory": "16Gi", "interfaces": 4, "addresses": 15}

    assert (allocatable(LARGE).cpu, allocatable(LARGE).pods) == (1930, 29)
    assert (allocatable(four).cpu, allocatable(four).pods) == (3920, 58)
    assert allocatable({**four, "cpu": 16}).cpu == 15890
    # The kernel's share is an assumption on the safe side: a real one has some hundred MiB more.
    assert 6800 < allocatable(LARGE).memory // MEBIBYTE < 7100


def test_init_containers_run_one_after_the_other_and_the_others_together() -> None:
    def container(cpu: str) -> Yaml:
        return {"resources": {"requests": {"cpu": cpu, "memory": "1Mi"}}}

    spec = {
        "initContainers": [container("300m"), container("200m")],
        "containers": [container("100m"), container("100m"), {}],
    }

    assert pod_of("pod", spec).amount == Amount(cpu=300, memory=2 * MEBIBYTE, pods=1)


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", "0.5"), ("2", "2"), (2, "2"), ("1.5Gi", 1.5 * 2**30), ("64Mi", 2**26), ("1k", 1000)],
)
def test_quantities_are_read_as_kubernetes_reads_them(text: object, number: Any) -> None:
    assert float(quantity(text)) == float(number)


@pytest.mark.parametrize("text", ["", "1GB", "-1", "500mi", None])
def test_what_is_no_quantity_is_named(text: object) -> None:
    with pytest.raises(OutsideError, match="is no quantity of Kubernetes"):
        requested({"cpu": text})


_Amounts = st.builds(Amount, cpu=st.integers(0, 2000), memory=st.integers(0, 2000), pods=st.just(1))


@given(st.lists(_Amounts, max_size=12), st.integers(0, 3), st.integers(0, 3))
def test_pods_that_found_room_are_never_more_than_the_nodes_have(
    amounts: list[Amount], there: int, more: int
) -> None:
    room = Amount(cpu=2000, memory=2000, pods=4)
    group = Group("nodes", room, there, there + more, labels={})
    pods = [Pod(str(index), amount, {}) for index, amount in enumerate(amounts)]

    packed = pack(pods, [group])

    placed = total(pod.amount for pod in pods if pod not in packed.left)
    count = packed.nodes["nodes"]
    assert there <= count <= there + more
    assert placed.fits(Amount(room.cpu * count, room.memory * count, room.pods * count))
    # None is left out that an empty node would have taken.
    if packed.left:
        assert count == there + more or not packed.left[0].amount.fits(room)


def test_the_command_fails_and_says_which_pod_finds_no_room(tmp_path: Path) -> None:
    for overlay in OVERLAYS:
        manifests = render(overlay)
        if overlay == "local":
            serving = find(manifests, "Deployment", "serving")["spec"]["template"]["spec"]
            serving["containers"][0]["resources"]["requests"]["cpu"] = "1"
        with (tmp_path / f"{overlay}.yaml").open("w") as file:
            YAML(typ="safe").dump_all(manifests, file)

    done = subprocess.run(
        [sys.executable, "-m", "tools.manifests.room", str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 1
    assert "the local overlay, and a run: local/serving (1,000m CPU" in done.stderr
