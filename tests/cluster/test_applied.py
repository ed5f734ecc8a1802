"""Everything of ours is applied on a real API server: nothing is rejected, nothing is warned of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ruamel.yaml import YAML

from perennial.errors import OutsideError
from perennial.settings import PROJECT
from tests.cluster.conftest import wait_for_account
from tests.cluster.selecting import policies_of, selects
from tests.manifests import ON_AWS, OVERLAYS, render
from tools.cluster.control_plane import Cluster
from tools.manifests.render_job import OPERATION, prepare_job

K8S = PROJECT / "k8s"
# What `make eks-up` takes of an overlay, before anybody deploys.
_NAMESPACE_ONLY = "--selector=pod-security.kubernetes.io/enforce=restricted"


def _access(overlay: str) -> str:
    return (K8S / "access.yaml").read_text().replace("ENVIRONMENT", overlay)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_accepted_without_a_warning_and_nothing_differs_afterwards(
    cluster: Cluster, overlay: str
) -> None:
    folder = str(K8S / "overlays" / overlay)

    cluster.apply("--kustomize", folder)

    # What Argo CD goes by: the server keeps each field as we write it.
    diff = cluster.kubectl("diff", "--server-side", "--kustomize", folder)
    assert (diff.returncode, diff.stdout) == (0, ""), diff.stderr


def test_monitoring_access_and_argo_cd_are_accepted_without_a_warning(cluster: Cluster) -> None:
    cluster.apply("--namespace=monitoring", "--kustomize", str(K8S / "monitoring"))
    for overlay in ON_AWS:
        cluster.apply("--kustomize", str(K8S / "overlays" / overlay), _NAMESPACE_ONLY)
        cluster.apply("--filename=-", given=_access(overlay))
    for file in sorted((K8S / "argocd").glob("*.yaml")):
        cluster.apply(f"--filename={file}")


def test_what_smoke_adds_to_the_local_overlay_is_accepted_without_a_warning(
    cluster: Cluster,
) -> None:
    cluster.apply(f"--filename={K8S / 'overlays' / 'local' / 'namespace.yaml'}")
    wait_for_account(cluster, "perennial-local")
    cluster.apply(f"--filename={K8S / 'overlays' / 'local' / 'load' / 'pod.yaml'}")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_job_of_a_run_is_accepted_without_a_warning_where_runs_are(
    cluster: Cluster, overlay: str
) -> None:
    space = f"perennial-{overlay}"
    cluster.apply("--kustomize", str(K8S / "overlays" / overlay))
    operation = OPERATION.model_copy(update={"run_namespace": space})
    job = prepare_job(deployment="serving", flow="retrain", operation=operation)

    done = cluster.kubectl("create", "--filename=-", given=json.dumps(job))

    assert (done.returncode, done.stderr) == (0, "")


def _broken(overlay: str, change: Any) -> str:
    """Return the namespace and the service of an overlay, whose pod was changed, as JSON."""
    manifests = render(overlay)
    namespace = next(each for each in manifests if each["kind"] == "Namespace")
    serving = next(
        each
        for each in manifests
        if (each["kind"], each["metadata"]["name"]) == ("Deployment", "serving")
    )
    change(serving)
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [namespace, serving]})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: made["spec"].update(replica=2), "replica"),
        (lambda made: made["spec"]["template"]["spec"].update(hostNetwork=True), "host namespaces"),
        (
            lambda made: made["spec"]["template"]["spec"]["containers"][0].pop("securityContext"),
            "allowPrivilegeEscalation",
        ),
        (lambda made: made["spec"]["selector"]["matchLabels"].update(other="role"), "selector"),
    ],
    ids=["unknown field", "network of the node", "unrestricted container", "selects no pod"],
)
def test_a_mistake_is_rejected_or_warned_of(cluster: Cluster, change: Any, said: str) -> None:
    with pytest.raises(OutsideError, match=said):
        cluster.apply("--dry-run=server", "--filename=-", given=_broken("staging", change))


_WILL_GO = {
    "apiVersion": "v1",
    "kind": "Endpoints",
    "metadata": {"name": "registry", "namespace": "default"},
    "subsets": [{"addresses": [{"ip": "10.0.0.7"}], "ports": [{"port": 443}]}],
}


def test_an_api_that_kubernetes_will_not_have_for_long_is_warned_of_and_counted(
    cluster: Cluster,
) -> None:
    with pytest.raises(OutsideError, match=r"v1 Endpoints is deprecated in v1\.33"):
        cluster.apply("--filename=-", given=json.dumps(_WILL_GO))

    # What docs/production.md has asked of a running cluster before its upgrade.
    counted = cluster.kubectl("get", "--raw", "/metrics").stdout
    asked = [
        each for each in counted.splitlines() if "apiserver_requested_deprecated_apis{" in each
    ]
    assert any('resource="endpoints"' in each for each in asked), asked


def test_the_labels_that_policies_select_are_on_the_pods_of_the_job_controller(
    cluster: Cluster,
) -> None:
    space = "perennial-production"
    cluster.apply("--kustomize", str(K8S / "overlays" / "production"))
    operation = OPERATION.model_copy(update={"run_namespace": space})
    job = prepare_job(deployment="serving", flow="monitor", operation=operation)
    done = cluster.kubectl("create", "--filename=-", "--output=name", given=json.dumps(job))
    name = done.stdout.strip().rpartition("/")[2]

    waited = cluster.kubectl(
        "wait", "--for=create", "pod", f"--selector=job-name={name}",
        f"--namespace={space}", "--timeout=60s",
    )  # fmt: skip
    assert waited.returncode == 0, waited.stderr
    (pod,) = cluster.get("pods", f"--selector=job-name={name}", f"--namespace={space}")

    selecting = policies_of(cluster, space, pod["metadata"]["name"])
    assert selecting == {"default-deny", "names", "servers", "identity"}
    (service,) = cluster.get("services", f"--namespace={space}")
    selector = {"matchLabels": service["spec"]["selector"]}
    assert not selects(cluster, space, selector, pod["metadata"]["name"])


def test_the_cluster_of_the_tests_has_the_version_of_the_cluster_on_aws(cluster: Cluster) -> None:
    wanted = YAML(typ="safe").load(K8S / "cluster.yaml")["metadata"]["version"]

    server = json.loads(cluster.kubectl("version", "--output=json").stdout)["serverVersion"]

    assert f"{server['major']}.{server['minor']}" == wanted
