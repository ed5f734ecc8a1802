"""A cluster of a real node on this machine: pods run, find names, and policies hold."""

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


@dataclass(frozen=True)
class Machines:
    """A cluster whose node runs pods.

    Attributes
    ----------
    cluster : Cluster
        Its API server.
    node : Machine
        Its node.
    """

    cluster: Cluster
    node: Machine


@contextmanager
def machines(home: Path) -> Iterator[Machines]:
    """Start a cluster of a real node, and end all of it.

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
            control_plane(_folder(home, "control-plane"), address, users(1))
        )
        images = list(_own_images(_folder(home, "images")))
        node = running.enter_context(machine(1, _folder(home, "node-1"), cluster, images))
        cluster.apply(f"--filename={_DNS}")
        _wait_for_names(cluster)
        yield Machines(cluster, node)


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
