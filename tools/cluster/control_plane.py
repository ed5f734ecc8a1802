"""A control plane on this machine: etcd, the API server, the scheduler and the controllers.

Nodes are objects without a machine behind them: pods get a node and are never started.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from perennial.errors import OutsideError
from tools.cluster.programs import find
from tools.manifests.kubectl import kubectl

# Name -> the groups of a user of the API server.
_USERS = {
    "admin": "system:masters",
    "system:kube-scheduler": "",
    "system:kube-controller-manager": "",
}
_SERVICES = "10.96.0.0/16"
_START_SECONDS = 120.0
_STOP_SECONDS = 15.0
# Without a kubelet no node says that it is alive, and all pods would be taken from it.
_CONTROLLERS = "*,-node-lifecycle-controller,-taint-eviction-controller"


@dataclass(frozen=True)
class Cluster:
    """A cluster, and who uses it.

    Attributes
    ----------
    kubeconfig : Path
        The configuration of `kubectl`.
    """

    kubeconfig: Path

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
def control_plane(home: Path) -> Iterator[Cluster]:
    """Start a control plane, and end it.

    Parameters
    ----------
    home : Path
        An empty folder of its own.

    Raises
    ------
    OutsideError
        If a program ends, or does not answer in time.
    """
    with ExitStack() as running:
        start = _Starter(home, running)
        etcd, peers, api = (_free_port() for _ in range(3))
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
        key, tokens = home / "accounts.pem", _write_tokens(home)
        key.write_bytes(_private_key())
        server = start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={api}",
            f"--cert-dir={home / 'certificates'}",
            f"--service-cluster-ip-range={_SERVICES}",
            "--authorization-mode=Node,RBAC",
            f"--token-auth-file={home / 'tokens.csv'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            # Without a kubelet nothing could be an endpoint of the API server itself.
            "--endpoint-reconciler-type=none",
        )
        address, authority = f"https://127.0.0.1:{api}", home / "certificates" / "apiserver.crt"
        _wait_until_ready(server, address, authority, tokens["admin"])
        found = {
            user: _write_kubeconfig(home, user, token, address, authority)
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
            f"--controllers={_CONTROLLERS}",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={key}",
            f"--root-ca-file={authority}",
            f"--secure-port={_free_port()}",
            "--bind-address=127.0.0.1",
        )
        yield Cluster(found["admin"])


class _Starter:
    """Starts programs, which end in the opposite order."""

    def __init__(self, home: Path, running: ExitStack) -> None:
        self._home = home
        self._running = running

    def __call__(self, program: str, *arguments: str) -> _Server:
        path = find(program)
        if path is None:
            raise OutsideError(f"There is no {program}: `make test-cluster` builds it.")
        log = self._home / f"{program}.log"
        output: IO[bytes] = self._running.enter_context(log.open("wb"))
        process = subprocess.Popen(
            [str(path), *arguments], stdout=output, stderr=subprocess.STDOUT, cwd=self._home
        )
        self._running.callback(_end, process)
        return _Server(program, process, log)


@dataclass(frozen=True)
class _Server:
    program: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        """Return the end of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines() or ["nothing"]
        return lines[-1]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


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


def _write_tokens(home: Path) -> dict[str, str]:
    """Write a token for each user; return user -> token."""
    tokens = {user: secrets.token_hex() for user in _USERS}
    lines = [f'{tokens[user]},{user},{user},"{groups}"\n' for user, groups in _USERS.items()]
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


def _wait_until_ready(server: _Server, address: str, authority: Path, token: str) -> None:
    """Wait until the API server has all that it makes itself: its roles, its namespaces."""
    deadline = time.monotonic() + _START_SECONDS
    request = urllib.request.Request(  # noqa: S310
        f"{address}/readyz", headers={"Authorization": f"Bearer {token}"}
    )
    while True:
        try:
            context = ssl.create_default_context(cafile=authority)
            with urllib.request.urlopen(request, timeout=5, context=context):  # noqa: S310
                return
        except OSError as error:
            if server.process.poll() is not None:
                raise OutsideError(f"{server.program} has ended: {server.last_words()}") from error
            if time.monotonic() > deadline:
                raise OutsideError(
                    f"{server.program} is not ready after {_START_SECONDS:.0f} s ({error}): "
                    f"{server.last_words()}"
                ) from error
            time.sleep(0.1)
