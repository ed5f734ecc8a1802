"""Who deploys, as cd.yaml does: the whole overlay of one environment, and nothing else."""

from __future__ import annotations

from subprocess import CompletedProcess

import pytest

from perennial.settings import PROJECT
from tests.manifests import ON_AWS
from tools.cluster.control_plane import Cluster

OVERLAYS = PROJECT / "k8s" / "overlays"


@pytest.fixture(scope="module")
def prepared(cluster: Cluster) -> Cluster:
    """A cluster as `make eks-up` leaves it: namespaces, and what deployers may do there."""
    access = (PROJECT / "k8s" / "access.yaml").read_text()
    for overlay in ON_AWS:
        chosen = "--selector=pod-security.kubernetes.io/enforce=restricted"
        made = cluster.kubectl("apply", "--kustomize", str(OVERLAYS / overlay), chosen)
        assert (made.returncode, made.stderr) == (0, "")
        given = access.replace("ENVIRONMENT", overlay)
        given_rights = cluster.kubectl("apply", "--filename=-", given=given)
        assert (given_rights.returncode, given_rights.stderr) == (0, "")
    return cluster


def _as_deployer(cluster: Cluster, overlay: str, *arguments: str) -> CompletedProcess[str]:
    groups = (f"--as-group=perennial-deploy-{overlay}", "--as-group=system:authenticated")
    return cluster.kubectl("--as=deployer", *groups, *arguments)


@pytest.mark.parametrize("overlay", ON_AWS)
def test_who_deploys_applies_the_whole_overlay_again_and_again(
    prepared: Cluster, overlay: str
) -> None:
    for _ in range(2):
        done = _as_deployer(prepared, overlay, "apply", "--kustomize", str(OVERLAYS / overlay))
        assert (done.returncode, done.stderr) == (0, "")

    for name in ("serving", "worker", "exporter"):
        done = _as_deployer(
            prepared, overlay, "rollout", "undo", f"deployment/{name}",
            f"--namespace=perennial-{overlay}", "--dry-run=server",
        )  # fmt: skip
        # There is nothing before the first one, which is another word than a refusal.
        assert "forbidden" not in done.stderr


@pytest.mark.parametrize("overlay", ON_AWS)
def test_who_deploys_changes_neither_the_namespace_nor_another_environment(
    prepared: Cluster, overlay: str
) -> None:
    (other,) = set(ON_AWS) - {overlay}
    loose = "pod-security.kubernetes.io/enforce=privileged"

    refused = [
        _as_deployer(prepared, overlay, *arguments)
        for arguments in (
            ("label", "namespace", f"perennial-{overlay}", "--overwrite", loose),
            ("apply", "--kustomize", str(OVERLAYS / other)),
            ("get", "secrets", f"--namespace=perennial-{other}"),
            ("get", "nodes"),
            ("create", "clusterrolebinding", "all", "--clusterrole=cluster-admin", "--user=me"),
        )
    ]

    for done in refused:
        assert done.returncode
        assert "forbidden" in done.stderr.lower()
