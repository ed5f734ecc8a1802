"""The operator of Dask beside a cluster, which it serves as it would from inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from perennial.settings import PROJECT
from tools.cluster.control_plane import Cluster
from tools.cluster.processes import Starter

OPERATOR = PROJECT / ".venv" / "operator"
_DEFINITIONS = "lib/*/site-packages/dask_kubernetes/operator/deployment/helm/*/crds/*.yaml"


def add_operator(cluster: Cluster) -> None:
    """Give a cluster the definitions of the operator."""
    for file in sorted(OPERATOR.glob(_DEFINITIONS)):
        # The server warns of these: they are not ours.
        done = cluster.kubectl("create", f"--filename={file}")
        assert done.returncode == 0, done.stderr
    waited = cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "--all", "crd")
    assert waited.returncode == 0, waited.stderr


@contextmanager
def operator(cluster: Cluster, home: Path, namespace: str) -> Iterator[None]:
    """Run the operator for one namespace."""
    with ExitStack() as running:
        Starter(home, running, lambda program: OPERATOR / "bin" / program)(
            "kopf", "run", "--module=dask_kubernetes.operator.controller", "--standalone",
            f"--namespace={namespace}",
            inside=("env", f"KUBECONFIG={cluster.kubeconfig}", f"HOME={home}"),
        )  # fmt: skip
        yield
