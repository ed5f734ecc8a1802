"""Check that all pods find room: ``python -m tools.manifests.room FOLDER``.

The folder has the rendered overlays. On EKS everything steady and a rollout of one environment fit
on the nodes that are there; a run of each environment, a rollout of all at once, and the maximum of
every autoscaler fit on nodes that come by themselves, each with a run on all workers of the engine.
The local overlay fits on one node of minikube, with a run beside a rollout.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from perennial.errors import OutsideError
from perennial.settings import PROJECT, OperationSettings
from tools.manifests.render_job import prepare_job
from tools.manifests.room.amounts import Amount, requested, total
from tools.manifests.room.nodes import Group, groups
from tools.manifests.room.packing import pack
from tools.manifests.room.pods import (
    Manifest,
    Pod,
    Workload,
    addon_pods,
    chart_pods,
    jobs,
    pod_of,
    workloads,
)

ON_AWS = ("staging", "production")
LOCAL = "local"
_AUTOSCALER = "cluster-autoscaler"
Overlays = Mapping[str, list[Manifest]]


@dataclass(frozen=True)
class Case:
    """A state of the cluster in which every pod must find room.

    Attributes
    ----------
    name : str
        What it is, in words.
    pods : list of Pod
        All pods then, but those that every node has.
    groups : list of Group
        The nodes.
    """

    name: str
    pods: list[Pod]
    groups: list[Group]

    def findings(self, say: Callable[[str], object]) -> list[str]:
        """Return a sentence for each pod that finds no room, and say how full the nodes are."""
        packed = pack(self.pods, self.groups)
        nodes = ", ".join(f"{count} of {name}" for name, count in packed.nodes.items())
        say(f"{self.name}: {total(pod.amount for pod in self.pods)} on nodes: {nodes}.\n")
        rooms = " ".join(f"A node of {group.name} has {group.room}." for group in self.groups)
        return [
            f"{self.name}: {pod.name} ({pod.amount}) finds no room. {rooms}" for pod in packed.left
        ]


def run_of(overlay: str, manifests: list[Manifest]) -> Pod:
    """Return the pod of a run, as the worker of an overlay has it prepared."""
    (worker,) = (
        each
        for each in manifests
        if each["kind"] == "Deployment" and each["metadata"]["name"] == "worker"
    )
    (pool,) = worker["spec"]["template"]["spec"]["initContainers"]
    environment = {each["name"]: each.get("value") for each in pool["env"]}
    operation = OperationSettings.model_validate(
        {
            "work_pool_type": "kubernetes",
            "run_image": "perennial-worker",
            "run_variables": environment.get("OPERATION_RUN_VARIABLES") or {},
        }
    )
    job = prepare_job(deployment="sentiment", flow="retrain", operation=operation)
    return pod_of(f"{overlay}/run", job["spec"]["template"]["spec"])


def _steady(found: list[Workload]) -> Iterator[Pod]:
    for each in found:
        yield from [each.pod] * each.steady


def _surging(found: list[Workload]) -> Iterator[Pod]:
    for each in found:
        yield from [each.pod] * each.surge


def _most(found: list[Workload]) -> Iterator[Pod]:
    for each in found:
        yield from [each.pod] * each.most


def on_eks(
    overlays: Overlays,
    cluster: Mapping[str, Any],
    figures: Mapping[str, Any],
    charts: Mapping[str, Manifest],
    engine: list[Pod],
) -> Iterator[Case]:
    """Yield the cases of the cluster on AWS.

    Parameters
    ----------
    overlays : mapping of str to list
        Overlay -> its manifests.
    cluster : mapping of str to Any
        k8s/cluster.yaml.
    figures : mapping of str to Any
        figures.yaml beside this module.
    charts : mapping of str to mapping
        Release of a chart -> its values.
    engine : list of Pod
        Those of a run on the engine, with all its workers.
    """
    addons = [each["name"] for each in cluster["addons"]]
    beside, everywhere = (
        [
            *addon_pods(addons, figures["addons"], every_node=every_node),
            *chart_pods(charts, figures["charts"], every_node=every_node),
        ]
        for every_node in (False, True)
    )
    nodes, growing = (
        groups(
            cluster,
            figures["instances"],
            total(pod.amount for pod in everywhere),
            grows=grows and _AUTOSCALER in charts,
        )
        for grows in (False, True)
    )
    found = {name: workloads(name, overlays[name]) for name in ON_AWS}
    every = [each for name in ON_AWS for each in found[name]]
    runs = [run_of(name, overlays[name]) for name in ON_AWS]
    for name in ON_AWS:
        pods = [*beside, *_steady(every), *_surging(found[name])]
        yield Case(f"everything steady, and a rollout of {name}", pods, nodes)
    pods = [*beside, *_steady(every), *_surging(every), *runs, *engine]
    yield Case("rollouts of all environments, and a run of each", pods, growing)
    pods = [*beside, *_most(every), *_surging(every), *runs, *engine]
    yield Case("the maximum of every autoscaler, with rollouts and runs", pods, growing)


def engine_pods(folder: Path) -> list[Pod]:
    """Return the pods of a run on the engine, with all its workers, and that of the operator.

    Parameters
    ----------
    folder : Path
        k8s/engine.
    """
    run, workers, operator = (
        YAML(typ="safe").load(folder / f"{name}.yaml") for name in ("run", "workers", "operator")
    )
    cluster = run["spec"]["cluster"]["spec"]
    worker = pod_of("engine/worker", cluster["worker"]["spec"])
    return [
        pod_of("engine/operator", {"containers": [operator]}),
        pod_of("engine/run", run["spec"]["job"]["spec"]),
        pod_of("engine/scheduler", cluster["scheduler"]["spec"]),
        *[worker] * workers["spec"]["maximum"],
    ]


def on_minikube(manifests: list[Manifest], figures: Mapping[str, Any]) -> Iterator[Case]:
    """Yield the cases of the local overlay on one small node."""
    node, found = figures["minikube"], workloads(LOCAL, manifests)
    room = requested(node) + Amount(pods=node["pods"]) - requested(node["system"])
    nodes = [Group("minikube", room, there=1, most=1, labels={})]
    rollout = [*_steady(found), *_surging(found)]
    yield Case(
        "the local overlay, and its first retraining", [*rollout, *jobs(LOCAL, manifests)], nodes
    )
    yield Case("the local overlay, and a run", [*rollout, run_of(LOCAL, manifests)], nodes)


def charts_of(addons: Path) -> dict[str, Manifest]:
    """Return the values of each chart that `make eks-up` installs."""
    lines = (addons / "charts.txt").read_text().splitlines()
    releases = [line.split()[0] for line in lines if not line.startswith("#")]
    return {name: YAML(typ="safe").load(addons / f"{name}.yaml") for name in releases}


def main() -> int:
    """Return 1 if a pod finds no room, else 0."""
    yaml, folder = YAML(typ="safe"), Path(sys.argv[1])
    overlays = {name: list(yaml.load_all(folder / f"{name}.yaml")) for name in (*ON_AWS, LOCAL)}
    figures = yaml.load(Path(__file__).with_name("figures.yaml"))
    cluster = yaml.load(PROJECT / "k8s" / "cluster.yaml")
    try:
        charts = charts_of(PROJECT / "k8s" / "addons")
        engine = engine_pods(PROJECT / "k8s" / "engine")
        cases = [
            *on_eks(overlays, cluster, figures, charts, engine),
            *on_minikube(overlays[LOCAL], figures),
        ]
        findings = [each for case in cases for each in case.findings(sys.stdout.write)]
    except OutsideError as error:
        findings = [str(error)]
    for finding in findings:
        sys.stderr.write(f"{finding}\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
