"""What a pod reaches: the pod of a run, with a program that tries addresses."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from tools.cluster.control_plane import Cluster
from tools.cluster.machines.space import call

# At once, and again when the policies of the pod have reached its node.
_PROGRAM = """
connects() { /busybox nc -w 3 "${1%:*}" "${1##*:}" -e /busybox true 2>/dev/null; }
look() {
  for address in "$@"; do
    if connects "$address"; then echo "$address"; fi
  done
}
first=$1
shift
look "$@"
until connects "$first"; do /busybox sleep 0.2; done
look "$@"
"""


def reached(
    cluster: Cluster, job: dict[str, Any], addresses: Sequence[str], *, first: str
) -> set[str]:
    """Return which addresses the pod of a Job ever connects to; its image has only BusyBox.

    Parameters
    ----------
    cluster : Cluster
        Where it runs.
    job : dict
        A Job.
    addresses : sequence of str
        What it tries.
    first : str
        What it reaches, which it waits for before it tries the others again.
    """
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["command"] = ["/busybox", "sh", "-c", _PROGRAM, "probe"]
    container["args"] = [first, *addresses]
    space = f"--namespace={job['metadata']['namespace']}"
    done = cluster.kubectl("create", "--filename=-", "--output=name", given=json.dumps(job))
    assert done.returncode == 0, done.stderr
    name = done.stdout.strip()
    waited = cluster.kubectl("wait", "--for=condition=complete", name, space, "--timeout=180s")
    said = cluster.kubectl("logs", name, space)
    assert waited.returncode == 0, cluster.kubectl("describe", "pods", space).stdout + said.stdout
    return set(said.stdout.split())


@contextmanager
def listening(*addresses: str) -> Iterator[None]:
    """Listen on addresses of this machine, outside of the cluster."""
    with ExitStack() as sockets:
        for address in addresses:
            host, _, port = address.rpartition(":")
            sockets.enter_context(socket.create_server((host, int(port)), backlog=64))
        yield


@contextmanager
def address_of_this_machine(address: str) -> Iterator[None]:
    """Give this machine an address in the network of the nodes."""
    call("ip", "address", "add", f"{address}/32", "dev", "perennial0")
    try:
        yield
    finally:
        call("ip", "address", "delete", f"{address}/32", "dev", "perennial0")
