"""A real API server, scheduler and controllers, and what stands in for kubelets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.kubelets import Kubelets
from tools.cluster.control_plane import Cluster, control_plane
from tools.cluster.definitions import definitions
from tools.cluster.programs import UnreachedError, missing

# Made by what runs in them, or by `make eks-up` before anything of ours.
NAMESPACES = ("argocd", "monitoring")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test of this folder its marker, and the time that a rollout takes."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a cluster without nodes that knows the custom resources of ours."""
    if names := missing():
        pytest.skip(f"{', '.join(names)} are not built: `make test-cluster` builds them")
    try:
        files = definitions()
    except UnreachedError as error:
        pytest.skip(str(error))
    with control_plane(tmp_path_factory.mktemp("cluster")) as found:
        for file in files:
            found.apply(f"--filename={file}")
        done = found.kubectl("wait", "--for=condition=Established", "--timeout=60s", "--all", "crd")
        assert done.returncode == 0, done.stderr
        for name in NAMESPACES:
            assert found.kubectl("create", "namespace", name).returncode == 0
        wait_for_account(found, "default")
        yield found


def wait_for_account(cluster: Cluster, namespace: str) -> None:
    """Wait for the account that every pod of a namespace has by default: none is made before."""
    wanted = ("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
    done = cluster.kubectl(*wanted, f"--namespace={namespace}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def kubelets(cluster: Cluster) -> Iterator[None]:
    """Let every pod that has a node be ready, as if it had been started there."""
    with Kubelets(cluster):
        yield
