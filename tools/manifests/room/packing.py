"""Pods on nodes as the scheduler places them: in the order they come, each where most CPU is left.

So small gaps remain on every node, and a large pod that comes last may fit into none, though all of
them together would hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tools.manifests.room.amounts import Amount
from tools.manifests.room.nodes import Group
from tools.manifests.room.pods import Pod


@dataclass
class _Node:
    group: Group
    room: Amount


@dataclass(frozen=True)
class Packing:
    """Where pods found room.

    Attributes
    ----------
    nodes : dict of str to int
        Group -> its nodes, those that came included.
    left : list of Pod
        The pods that found none.
    """

    nodes: dict[str, int]
    left: list[Pod]


def pack(pods: Iterable[Pod], groups: Sequence[Group]) -> Packing:
    """Place pods on the nodes that are there, then on nodes that may come."""
    nodes = [_Node(group, group.room) for group in groups for _ in range(group.there)]
    left = []
    for pod in pods:
        node = _emptiest(pod, nodes) or _added(pod, nodes, groups)
        if node is None:
            left.append(pod)
        else:
            node.room -= pod.amount
    counts = {group.name: sum(node.group is group for node in nodes) for group in groups}
    return Packing(counts, left)


def _emptiest(pod: Pod, nodes: Sequence[_Node]) -> _Node | None:
    fitting = (each for each in nodes if each.group.admits(pod) and pod.amount.fits(each.room))
    return max(fitting, key=lambda each: each.room.cpu, default=None)


def _added(pod: Pod, nodes: list[_Node], groups: Sequence[Group]) -> _Node | None:
    for group in groups:
        count = sum(node.group is group for node in nodes)
        if count < group.most and group.admits(pod) and pod.amount.fits(group.room):
            nodes.append(_Node(group, group.room))
            return nodes[-1]
    return None
