"""A node: containerd, kubelet, kube-proxy, and what enforces network policies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from tools.cluster.control_plane import SERVICES, Cluster
from tools.cluster.machines.programs import find, plugins
from tools.cluster.machines.space import PODS, Space, space
from tools.cluster.processes import Server, Starter

# The tenth address of the services, as everywhere.
DNS = "10.96.0.10"
PAUSE = "localhost/pause:local"
_START_SECONDS = 90.0
# How kube-router marks what policies let through.
_LET_THROUGH = "0x20000"
_SOCKET = "/run/containerd/containerd.sock"


@dataclass(frozen=True)
class Machine:
    """A node that runs.

    Attributes
    ----------
    space : Space
        Where it runs.
    home : Path
        What it keeps.
    """

    space: Space
    home: Path

    def add_image(self, archive: Path) -> None:
        """Give it an image, from an archive as Docker writes it.

        Raises
        ------
        OutsideError
            If it is none.
        """
        self._ctr("images", "import", "--snapshotter=overlayfs", str(archive))

    def kill(self, container: str) -> None:
        """End the first process of a container, as the kernel does when memory is short.

        Raises
        ------
        OutsideError
            If it does not run.
        """
        self._ctr("tasks", "kill", "--signal=SIGKILL", container)

    def _ctr(self, *arguments: str) -> str:
        return self.space.run(
            str(find("ctr")), f"--address={_SOCKET}", "--namespace=k8s.io", *arguments
        )


@contextmanager
def machine(number: int, home: Path, cluster: Cluster, images: Iterable[Path]) -> Iterator[Machine]:
    """Start a node and wait until the cluster may use it; all of it ends with it.

    Parameters
    ----------
    number : int
        Its number, from 1.
    home : Path
        An empty folder of its own.
    cluster : Cluster
        A control plane with the users of the node.
    images : iterable of Path
        The images that it has, as archives of Docker.

    Raises
    ------
    OutsideError
        If a program ends, or does not work in time.
    """
    with ExitStack() as running:
        where = running.enter_context(space(number))
        start = Starter(home, running, find)
        found = Machine(where, home)
        _refuse_unknown_pods(where)
        _start_containerd(start, where, home)
        for image in images:
            found.add_image(image)
        kubelet = _start_kubelet(start, where, home, cluster)
        _start_proxy(start, where, home, cluster)
        kubelet.wait_until(lambda: _is_unready(cluster, where.name), _START_SECONDS)
        _start_policies(start, where, cluster)
        yield found


def _is_unready(cluster: Cluster, name: str) -> str:
    """Return why a node is not ready, or nothing."""
    done = cluster.kubectl("get", "node", name, "--output=json")
    if done.returncode:
        return done.stderr.strip()
    conditions = json.loads(done.stdout)["status"].get("conditions", ())
    for condition in conditions:
        if condition["type"] == "Ready":
            return "" if condition["status"] == "True" else str(condition["message"])
    return "it has no conditions"


def users(nodes: int) -> dict[str, str]:
    """Return the users of the API server that so many nodes have, each with its groups."""
    return {
        **{f"system:node:node-{number + 1}": "system:nodes" for number in range(nodes)},
        "system:kube-proxy": "",
        # It sees all pods and policies.
        "kube-router": "system:masters",
    }


def _refuse_unknown_pods(where: Space) -> None:
    """Drop what pods send before their policies have reached the node.

    kube-router has rules for every pod that it knows, and marks what they let through. A pod sends
    its first packets sooner; without these rules they would go anywhere.
    """
    where.run("iptables", "--policy", "FORWARD", "DROP")
    unmarked = ("--match", "mark", "!", "--mark", f"{_LET_THROUGH}/{_LET_THROUGH}")
    new = ("--match", "conntrack", "--ctstate", "NEW")
    where.run(
        "iptables", "--append", "INPUT", "--source", PODS, *new, *unmarked, "--jump", "DROP"
    )  # fmt: skip


def _start_containerd(start: Starter, where: Space, home: Path) -> Server:
    network = {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(home / "addresses"),
                    "ranges": [[{"subnet": where.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }
    (home / "cni").mkdir()
    (home / "cni" / "pods.conflist").write_text(json.dumps(network))
    configuration = home / "containerd.toml"
    configuration.write_text(
        f"""\
version = 3
root = "{home / "containerd"}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = "{_SOCKET}"
[plugins.'io.containerd.cri.v1.images']
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
  # To lower it is what root inside of a container may not, and a node works without.
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{plugins()}"]
  conf_dir = "{home / "cni"}"
"""
    )
    # It starts its shim by its name.
    path = f"PATH={plugins()}:/usr/sbin:/usr/bin:/sbin:/bin"
    server = start("containerd", f"--config={configuration}", inside=[*where.inside, "env", path])
    socket = Path(f"/proc/{where.holder}/root{_SOCKET}")
    server.wait_until(lambda: "" if socket.exists() else "it has no socket", _START_SECONDS)
    return server


def _start_kubelet(start: Starter, where: Space, home: Path, cluster: Cluster) -> Server:
    names = home / "resolv.conf"
    # What the DNS of the cluster asks for names of elsewhere: nobody.
    names.write_text("")
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": where.address,
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS],
        "resolvConf": str(names),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": where.cgroup,
        "failCgroupV1": False,
        "containerRuntimeEndpoint": f"unix://{_SOCKET}",
        # Nobody but this machine and the pods of the tests reaches it.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "podLogsDir": str(home / "logs"),
        "volumePluginDir": str(home / "plugins"),
        "failSwapOn": False,
        "localStorageCapacityIsolation": True,
        # The disk of who tests may be fuller than that of a server.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "4s",
    }
    return start(
        "kubelet",
        f"--config={_write(home / 'kubelet.yaml', configuration)}",
        f"--kubeconfig={cluster.users[f'system:node:{where.name}']}",
        f"--hostname-override={where.name}",
        f"--node-ip={where.address}",
        f"--root-dir={home / 'kubelet'}",
        f"--cert-dir={home / 'certificates'}",
        inside=where.inside,
    )


def _start_proxy(start: Starter, where: Space, home: Path, cluster: Cluster) -> Server:
    configuration = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": PODS,
        "hostnameOverride": where.name,
        "clientConnection": {"kubeconfig": str(cluster.users["system:kube-proxy"])},
        # They belong to the whole kernel.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
    written = _write(home / "kube-proxy.yaml", configuration)
    return start("kube-proxy", f"--config={written}", inside=where.inside)


def _start_policies(start: Starter, where: Space, cluster: Cluster) -> Server:
    """Start what enforces network policies, once the node is there."""
    return start(
        "kube-router",
        "--run-firewall",
        "--run-router=false",
        "--run-service-proxy=false",
        f"--kubeconfig={cluster.users['kube-router']}",
        f"--hostname-override={where.name}",
        f"--service-cluster-ip-range={SERVICES}",
        inside=where.inside,
    )


def _write(path: Path, content: Mapping[str, object]) -> Path:
    with path.open("w") as file:
        YAML(typ="safe").dump(dict(content), file)
    return path
