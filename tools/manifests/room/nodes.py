"""Nodes, and what of each of them is left for pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.errors import OutsideError
from tools.manifests.room.amounts import MEBIBYTE, Amount, quantity
from tools.manifests.room.pods import Pod

# The firmware and the kernel keep some: Karpenter's assumption (VM_MEMORY_OVERHEAD_PERCENT),
# https://karpenter.sh/docs/reference/settings/
_OVERHEAD = 0.075
# What Amazon Linux 2023 reserves: the package kubelet of nodeadm,
# https://github.com/awslabs/amazon-eks-ami/tree/main/nodeadm/internal/kubelet
_EVICTION = 100 * MEBIBYTE
_MEMORY_RESERVED, _MEMORY_PER_POD = 255 * MEBIBYTE, 11 * MEBIBYTE
# Thousandths of the first CPU, of the second, of the next two, of each further one.
_CPU_RESERVED = (60.0, 10.0, 5.0, 5.0)
_CPU_RESERVED_FURTHER = 2.5


def allocatable(instance: Mapping[str, Any]) -> Amount:
    """Return what an EKS node of an instance type leaves for pods.

    Parameters
    ----------
    instance : mapping of str to Any
        Its ``cpu``, ``memory``, network ``interfaces`` and ``addresses`` of each.
    """
    cores = int(instance["cpu"])
    # Each pod has an address of its own; two pods use the node's.
    pods = instance["interfaces"] * (instance["addresses"] - 1) + 2
    further = max(cores - len(_CPU_RESERVED), 0)
    reserved = sum(_CPU_RESERVED[:cores]) + further * _CPU_RESERVED_FURTHER
    memory = int(quantity(instance["memory"])) * (1 - _OVERHEAD)
    memory -= _MEMORY_RESERVED + pods * _MEMORY_PER_POD + _EVICTION
    return Amount(cpu=int(cores * 1000 - reserved), memory=int(memory), pods=pods)


@dataclass(frozen=True)
class Group:
    """Nodes that are alike.

    Attributes
    ----------
    name : str
        Its name.
    room : Amount
        What each node leaves for pods, besides those that every node has.
    there, most : int
        How many nodes there are, and how many there may be.
    labels : mapping of str to str
        Of each node.
    taints : sequence of mapping
        Of each node.
    """

    name: str
    room: Amount
    there: int
    most: int
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]] = ()

    def admits(self, pod: Pod) -> bool:
        """Return whether a pod may be on these nodes, if there is room."""
        selected = all(self.labels.get(key) == value for key, value in pod.selector.items())
        return selected and all(_is_tolerated(taint, pod.tolerations) for taint in self.taints)


def _is_tolerated(taint: Mapping[str, str], tolerations: Sequence[Mapping[str, str]]) -> bool:
    return any(
        toleration.get("key") in {None, taint["key"]}
        and toleration.get("effect") in {None, taint["effect"]}
        and (
            toleration.get("operator") == "Exists" or toleration.get("value") == taint.get("value")
        )
        for toleration in tolerations
    )


def groups(
    cluster: Mapping[str, Any], instances: Mapping[str, Any], everywhere: Amount, *, grows: bool
) -> list[Group]:
    """Return the node groups of a cluster; the smallest type of each counts.

    Parameters
    ----------
    cluster : mapping of str to Any
        The configuration of eksctl.
    instances : mapping of str to Any
        Instance type -> its figures.
    everywhere : Amount
        What the pods request that are on every node.
    grows : bool
        Whether something adds nodes up to ``maxSize``.

    Raises
    ------
    OutsideError
        If nothing is known of an instance type.
    """
    found = []
    for each in cluster["managedNodeGroups"]:
        sizes = [_room(name, instances) for name in each["instanceTypes"]]
        least = Amount(*(min(getattr(size, of) for size in sizes) for of in _RESOURCES))
        there = each["desiredCapacity"]
        most = each["maxSize"] if grows else there
        labels, taints = each.get("labels", {}), each.get("taints", ())
        found.append(Group(each["name"], least - everywhere, there, most, labels, taints))
    return found


_RESOURCES = ("cpu", "memory", "pods")


def _room(name: str, instances: Mapping[str, Any]) -> Amount:
    if name not in instances:
        raise OutsideError(
            f"k8s/cluster.yaml has nodes of the type {name}: write its figures into "
            "tools/manifests/room/figures.yaml."
        )
    return allocatable(instances[name])
