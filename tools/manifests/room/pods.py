"""Pods that want room: those of the overlays, of EKS itself and of the charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.errors import OutsideError
from tools.manifests.room.amounts import Amount, largest, requested, total

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    """What the scheduler knows of a pod.

    Attributes
    ----------
    name : str
        Whose pod it is.
    amount : Amount
        What it requests.
    selector : mapping of str to str
        Labels that its node must have.
    tolerations : sequence of mapping
        Taints of nodes that do not keep it away.
    """

    name: str
    amount: Amount
    selector: Mapping[str, str]
    tolerations: Sequence[Mapping[str, str]] = ()


def pod_of(name: str, spec: Manifest) -> Pod:
    """Return the pod that a specification makes: its init containers run one after the other."""
    first = largest(_requests(spec.get("initContainers", [])))
    together = total(_requests(spec["containers"]))
    amount = largest([first, together]) + Amount(pods=1)
    return Pod(name, amount, spec.get("nodeSelector") or {}, spec.get("tolerations") or ())


def _requests(containers: Sequence[Manifest]) -> Iterator[Amount]:
    for container in containers:
        yield requested(container.get("resources", {}).get("requests", {}))


@dataclass(frozen=True)
class Workload:
    """A Deployment with its pods: always, at most, and while it is rolled out.

    Attributes
    ----------
    pod : Pod
        Each of its pods.
    steady, most, surge : int
        How many there are at least, at most, and more of them in a rollout.
    """

    pod: Pod
    steady: int
    most: int
    surge: int


def workloads(overlay: str, manifests: Sequence[Manifest]) -> list[Workload]:
    """Return the Deployments of an overlay, with the limits of their autoscalers."""
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]
        for each in manifests
        if each["kind"] == "HorizontalPodAutoscaler"
    }
    found = []
    for each in manifests:
        if each["kind"] != "Deployment":
            continue
        name, spec = each["metadata"]["name"], each["spec"]
        pod = pod_of(f"{overlay}/{name}", spec["template"]["spec"])
        replicas = spec.get("replicas", 1)
        limits = scaled.get(name, {"minReplicas": replicas, "maxReplicas": replicas})
        surge = spec["strategy"].get("rollingUpdate", {}).get("maxSurge", 0)
        found.append(Workload(pod, limits["minReplicas"], limits["maxReplicas"], surge))
    return found


def jobs(overlay: str, manifests: Sequence[Manifest]) -> list[Pod]:
    """Return the pods of the Jobs of an overlay."""
    return [
        pod_of(f"{overlay}/{each['metadata']['name']}", each["spec"]["template"]["spec"])
        for each in manifests
        if each["kind"] == "Job"
    ]


def addon_pods(names: Sequence[str], known: Mapping[str, Any], *, every_node: bool) -> list[Pod]:
    """Return the pods of EKS's own add-ons: those on every node, or the others.

    Raises
    ------
    OutsideError
        If nothing is known of an add-on.
    """
    found = []
    for name in names:
        if name not in known:
            raise OutsideError(
                f"k8s/cluster.yaml has the add-on {name}: write what its pods request into "
                "tools/manifests/room/figures.yaml."
            )
        for each in known[name]:
            if bool(each.get("every_node")) is every_node:
                found += _pods(f"kube-system/{each['name']}", each, requested(each))
    return found


def chart_pods(
    values: Mapping[str, Manifest], known: Mapping[str, Any], *, every_node: bool
) -> list[Pod]:
    """Return the pods of the charts: those on every node, or the others.

    Raises
    ------
    OutsideError
        If nothing is known of a chart, or its values name no requests.
    """
    found = []
    for release, own in values.items():
        if release not in known:
            raise OutsideError(
                f"k8s/addons/charts.txt has {release}: write its pods into "
                "tools/manifests/room/figures.yaml."
            )
        for each in known[release]:
            if bool(each.get("every_node")) is every_node:
                amount = _values(release, own, each["requests"])
                found += _pods(f"{release}/{each['name']}", each, amount)
    return found


def _values(release: str, values: Manifest, path: str) -> Amount:
    found: Any = values
    for name in path.split("."):
        found = (found or {}).get(name)
    if not found or not found.get("requests"):
        raise OutsideError(f"k8s/addons/{release}.yaml names no requests at {path}: add them.")
    return requested(found["requests"])


def _pods(name: str, described: Manifest, amount: Amount) -> list[Pod]:
    pod = Pod(name, amount + Amount(pods=1), {})
    return [pod] * int(described.get("replicas", 1))
