"""A cluster of real nodes on this machine: pods run, find names, and policies hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from perennial.errors import OutsideError
from tools.cluster.control_plane import Cluster, control_plane
from tools.cluster.machines.images import write_image
from tools.cluster.machines.machine import PAUSE, Machine, machine, users
from tools.cluster.machines.programs import find, system
from tools.cluster.machines.space import bridge

_DNS = Path(__file__).parent / "dns" / "manifests.yaml"
_MOST_NODES = 2


@dataclass(frozen=True)
class Machines:
    """A cluster whose nodes run pods.

    Attributes
    ----------
    cluster : Cluster
        Its API server.
    nodes : tuple of Machine
        Its nodes.
    images : tuple of Path
        The images that each of them has, as archives of Docker.
    """

    cluster: Cluster
    nodes: tuple[Machine, ...]
    images: tuple[Path, ...]

    @property
    def node(self) -> Machine:
        """The first node, which has what a cluster runs itself."""
        return self.nodes[0]

    def named(self, name: str) -> Machine:
        """Return the node of a name."""
        return next(each for each in self.nodes if each.space.name == name)


@contextmanager
def machines(home: Path) -> Iterator[Machines]:
    """Start a cluster of one real node, and end all of it.

    Parameters
    ----------
    home : Path
        An empty folder of its own.

    Raises
    ------
    OutsideError
        If a program ends, or something does not work in time.
    """
    with ExitStack() as running:
        address = running.enter_context(bridge())
        cluster = running.enter_context(
            control_plane(_folder(home, "control-plane"), address, users(_MOST_NODES))
        )
        images = tuple(_own_images(_folder(home, "images")))
        node = running.enter_context(machine(1, _folder(home, "node-1"), cluster, images))
        cluster.apply(f"--filename={_DNS}")
        _wait_for_names(cluster)
        yield Machines(cluster, (node,), images)


@contextmanager
def another(live: Machines, home: Path) -> Iterator[Machines]:
    """Let one more node join a cluster; yield the cluster with it.

    Parameters
    ----------
    live : Machines
        The cluster as it is.
    home : Path
        An empty folder of its own.

    Raises
    ------
    OutsideError
        If a program ends, or something does not work in time.
    """
    number = len(live.nodes) + 1
    with machine(number, home, live.cluster, live.images) as node:
        for other in live.nodes:
            other.space.add_route(node.space)
            node.space.add_route(other.space)
        yield Machines(live.cluster, (*live.nodes, node), live.images)


def _own_images(folder: Path) -> Iterator[Path]:
    """Write the images of what a cluster has itself."""
    yield write_image(folder / "pause.tar", PAUSE, system("busybox"), ["sleep", "infinity"])
    coredns = find("coredns")
    if coredns is None:
        raise OutsideError("There is no coredns: `make test-cluster LEVEL=2` builds it.")
    yield write_image(folder / "coredns.tar", "localhost/coredns:local", coredns)


def _folder(home: Path, name: str) -> Path:
    folder = home / name
    folder.mkdir()
    return folder


def _wait_for_names(cluster: Cluster) -> None:
    done = cluster.kubectl(
        "rollout", "status", "deployment/coredns", "--namespace=kube-system", "--timeout=120s"
    )
    if done.returncode:
        pods = cluster.kubectl("describe", "pods", "--namespace=kube-system").stdout
        raise OutsideError(f"CoreDNS does not start: {done.stderr.strip()}\n{pods}")
