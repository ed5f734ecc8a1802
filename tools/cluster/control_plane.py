"""A control plane on this machine: etcd, the API server, the scheduler and the controllers.

By itself it has no nodes. Those of `node` are objects without a machine behind them: pods get a
node and are never started. Those of tools.cluster.machines run their pods.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from perennial.errors import OutsideError
from tools.cluster.processes import Server, Starter
from tools.cluster.programs import find
from tools.manifests.kubectl import kubectl

# Name -> the groups of a user of the API server.
_USERS = {
    "admin": "system:masters",
    "system:kube-scheduler": "",
    "system:kube-controller-manager": "",
}
SERVICES = "10.96.0.0/16"
# As the local overlay has it.
PORT = 6443
_START_SECONDS = 120.0
# Without a kubelet no node says that it is alive, and all pods would be taken from it.
_WITHOUT_KUBELETS = ("-node-lifecycle-controller", "-taint-eviction-controller")


@dataclass(frozen=True)
class Cluster:
    """A cluster, and who uses it.

    Attributes
    ----------
    kubeconfig : Path
        The configuration of `kubectl`, as an administrator.
    users : mapping of str to Path
        User -> the same as this one.
    """

    kubeconfig: Path
    users: Mapping[str, Path] = field(default_factory=dict)

    def kubectl(
        self, *arguments: str, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `kubectl` and return what it said, whether it succeeded or not.

        Parameters
        ----------
        *arguments : str
            A command and its options.
        given : str, optional
            Standard input.
        """
        command = [kubectl(), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=False)

    def apply(self, *arguments: str, given: str | None = None) -> None:
        """Apply manifests on the server.

        Raises
        ------
        OutsideError
            If something is rejected, or accepted with a warning.
        """
        done = self.kubectl("apply", "--server-side", *arguments, given=given)
        if done.returncode or done.stderr:
            raise OutsideError(f"`kubectl apply {' '.join(arguments)}` says: {done.stderr.strip()}")

    def get(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the objects that `kubectl get` finds.

        Raises
        ------
        OutsideError
            If it fails.
        """
        done = self.kubectl("get", "--output=json", *arguments)
        if done.returncode:
            raise OutsideError(f"`kubectl get {' '.join(arguments)}` says: {done.stderr.strip()}")
        items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return items


def node(name: str, room: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, Any]:
    """Return a node without a machine, which takes pods.

    Parameters
    ----------
    name : str
        Its name.
    room : mapping of str to str
        Resource -> what it leaves for pods.
    labels : mapping of str to str
        Its labels.
    """
    ready = {"type": "Ready", "status": "True", "reason": "StandIn", "message": "no kubelet"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
        "status": {"capacity": dict(room), "allocatable": dict(room), "conditions": [ready]},
    }


def add_node(
    cluster: Cluster, made: Mapping[str, Any], taints: Sequence[Mapping[str, str]] = ()
) -> None:
    """Add a node; the server makes each new one unready, which nobody would ever end.

    Raises
    ------
    OutsideError
        If the server refuses it.
    """
    name = made["metadata"]["name"]
    patch = json.dumps({"spec": {"taints": list(taints)}})
    for arguments, given in (
        (("create", "--filename=-"), json.dumps(made)),
        (("patch", "node", name, "--type=merge", f"--patch={patch}"), None),
    ):
        done = cluster.kubectl(*arguments, given=given)
        if done.returncode:
            raise OutsideError(f"The node {name} cannot be added: {done.stderr.strip()}")


@contextmanager
def control_plane(
    home: Path, address: str = "", users: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Cluster]:
    """Start a control plane, and end it.

    Parameters
    ----------
    home : Path
        An empty folder of its own.
    address : str, default=""
        Where kubelets reach the API server; empty if there are none.
    users : mapping of str to str
        User -> its groups, of those who use the cluster besides.

    Raises
    ------
    OutsideError
        If a program ends, or does not answer in time.
    """
    with ExitStack() as running:
        start = Starter(home, running, find)
        etcd, peers = _free_port(), _free_port()
        host, port = (address, PORT) if address else ("127.0.0.1", _free_port())
        start(
            "etcd",
            f"--data-dir={home / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-cluster=default=http://127.0.0.1:{peers}",
            # Nobody needs it after the tests.
            "--unsafe-no-fsync",
        )
        key, tokens = home / "accounts.pem", _write_tokens(home, {**_USERS, **users})
        key.write_bytes(_private_key())
        server = start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            f"--bind-address={host}",
            f"--advertise-address={host}",
            f"--secure-port={port}",
            f"--cert-dir={home / 'certificates'}",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            f"--token-auth-file={home / 'tokens.csv'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            # An address of this machine alone cannot be an endpoint of the API server.
            f"--endpoint-reconciler-type={'lease' if address else 'none'}",
            # The names of nodes are known to nobody.
            "--kubelet-preferred-address-types=InternalIP",
        )
        url, authority = f"https://{host}:{port}", home / "certificates" / "apiserver.crt"
        _wait_until_ready(server, url, authority, tokens["admin"])
        found = {
            user: _write_kubeconfig(home, user, token, url, authority)
            for user, token in tokens.items()
        }
        start(
            "kube-scheduler",
            f"--kubeconfig={found['system:kube-scheduler']}",
            "--leader-elect=false",
            f"--secure-port={_free_port()}",
            "--bind-address=127.0.0.1",
        )
        start(
            "kube-controller-manager",
            f"--kubeconfig={found['system:kube-controller-manager']}",
            f"--controllers={','.join(('*', *(() if address else _WITHOUT_KUBELETS)))}",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={key}",
            f"--root-ca-file={authority}",
            f"--secure-port={_free_port()}",
            "--bind-address=127.0.0.1",
        )
        yield Cluster(found["admin"], found)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _private_key() -> bytes:
    """Return a key that signs the tokens of service accounts."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _write_tokens(home: Path, users: Mapping[str, str]) -> dict[str, str]:
    """Write a token for each user; return user -> token."""
    tokens = {user: secrets.token_hex() for user in users}
    lines = [f'{tokens[user]},{user},{user},"{groups}"\n' for user, groups in users.items()]
    (home / "tokens.csv").write_text("".join(lines))
    return tokens


def _write_kubeconfig(home: Path, user: str, token: str, address: str, authority: Path) -> Path:
    path = home / f"{user.replace(':', '-')}.kubeconfig"
    server = {"server": address, "certificate-authority": str(authority)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": server}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": user}}],
        "current-context": "tests",
    }
    path.write_text(json.dumps(content))
    return path


def _wait_until_ready(server: Server, address: str, authority: Path, token: str) -> None:
    """Wait until the API server has all that it makes itself: its roles, its namespaces."""
    request = urllib.request.Request(  # noqa: S310
        f"{address}/readyz", headers={"Authorization": f"Bearer {token}"}
    )

    def answers() -> str:
        try:
            context = ssl.create_default_context(cafile=authority)
            with urllib.request.urlopen(request, timeout=5, context=context):  # noqa: S310
                return ""
        except OSError as error:
            return str(error)

    server.wait_until(answers, _START_SECONDS)
