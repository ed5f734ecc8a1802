"""What the overlays promise: restricted pods, safe updates, secrets that are rotated."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tests.manifests import ON_AWS, OVERLAYS, containers, find, pods, render

_LONGEST_REFRESH = re.compile(r"[1-5]m")
_OURS = ("serving", "worker", "exporter")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_restricted_and_has_limits(overlay: str) -> None:
    for _, pod in pods(render(overlay)):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_job_of_a_run_finds_what_it_names(overlay: str) -> None:
    resources = render(overlay)
    names = {(r["kind"], r["metadata"]["name"]) for r in resources}
    (template,) = (r for r in resources if r["metadata"]["name"].startswith("job-template"))
    content = json.loads(template["data"]["job-template.json"])
    pod = content["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]

    assert ("ServiceAccount", pod["serviceAccountName"]) in names
    for source in pod["containers"][0]["envFrom"]:
        if "configMapRef" in source:
            assert ("ConfigMap", source["configMapRef"]["name"]) in names
        else:
            secret = source["secretRef"]["name"]
            assert names & {("Secret", secret), ("ExternalSecret", secret)}
    worker = find(resources, "Deployment", "worker")["spec"]["template"]["spec"]
    (environment,) = (
        variable["value"]
        for variable in worker["initContainers"][0]["env"]
        if variable["name"] == "RUN_IMAGE"
    )
    assert environment == worker["containers"][0]["image"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_update_of_the_service_takes_no_pod_away_before_another_is_ready(overlay: str) -> None:
    spec = find(render(overlay), "Deployment", "serving")["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]

    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    drain = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > drain


@pytest.mark.parametrize("overlay", ON_AWS)
def test_a_password_is_in_no_manifest(overlay: str) -> None:
    assert not [r for r in render(overlay) if r["kind"] == "Secret"]


def test_every_alert_has_a_runbook() -> None:
    text = (PROJECT / "docs" / "runbooks.md").read_text()
    sections = {title.lower() for title in re.findall(r"^## (\w+)$", text, re.MULTILINE)}
    for group in YAML(typ="safe").load(PROJECT / "k8s" / "monitoring" / "rules.yaml")["spec"][
        "groups"
    ]:
        for rule in group["rules"]:
            if "alert" in rule:
                page, _, section = rule["annotations"]["runbook_url"].partition("#")
                assert page == "docs/runbooks.md"
                assert section == rule["alert"].lower()
                assert section in sections


def _secrets(pod: dict[str, Any]) -> set[str]:
    """The secrets whose keys are variables of a pod."""
    sources = [source for each in containers(pod) for source in each.get("envFrom", [])]
    return {source["secretRef"]["name"] for source in sources if "secretRef" in source}


@pytest.mark.parametrize("overlay", ON_AWS)
@pytest.mark.parametrize("name", _OURS)
def test_a_rotated_secret_starts_an_update_of_what_uses_it(overlay: str, name: str) -> None:
    resources = render(overlay)
    deployment = find(resources, "Deployment", name)
    used = _secrets(deployment["spec"]["template"]["spec"])

    assert used
    for secret in used:
        external = find(resources, "ExternalSecret", secret)["spec"]
        assert external["target"]["name"] == secret
        assert external["target"]["creationPolicy"] == "Owner"
        assert _LONGEST_REFRESH.fullmatch(external["refreshInterval"])
        assert external["dataFrom"] == [{"extract": {"key": f"perennial/{overlay}/{secret}"}}]
        assert find(resources, "SecretStore", external["secretStoreRef"]["name"])
    annotations = deployment["metadata"]["annotations"]
    assert annotations["reloader.stakater.com/auto"] == "true"


def test_a_run_reads_the_secret_that_external_secrets_keeps() -> None:
    template = json.loads((PROJECT / "k8s/base/worker/job-template.json").read_text())
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]

    assert _secrets(pod) == {"worker"}


@pytest.mark.parametrize("overlay", ON_AWS)
def test_a_wrong_secret_ends_the_update_with_a_sentence_before_the_service_starts(
    overlay: str,
) -> None:
    spec = find(render(overlay), "Deployment", "serving")["spec"]
    check, service = containers(spec["template"]["spec"])

    assert check["command"][:3] == ["python", "-m", "serving.check"]
    assert check["envFrom"] == service["envFrom"]
    assert check["image"] == service["image"]
    # A variable that is missing altogether counts as wrong, too.
    assert check["command"][3:] == ["MONGODB_URI", "MLFLOW_TRACKING_URI"]


@pytest.mark.parametrize("overlay", ON_AWS)
@pytest.mark.parametrize("name", _OURS)
def test_an_update_that_fails_keeps_the_old_pods_and_says_why(overlay: str, name: str) -> None:
    spec = find(render(overlay), "Deployment", name)["spec"]

    assert spec["strategy"]["type"] == "RollingUpdate"
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert spec["progressDeadlineSeconds"] <= 300
    for container in containers(spec["template"]["spec"]):
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize("overlay", ON_AWS)
def test_who_deploys_may_write_all_that_an_overlay_has_but_its_namespace(overlay: str) -> None:
    text = (PROJECT / "k8s" / "access.yaml").read_text().replace("ENVIRONMENT", overlay)
    given = list(YAML(typ="safe").load_all(text))
    (role,) = (each for each in given if each["kind"] == "Role")
    custom = {(group, kind) for rule in role["rules"] for group in rule["apiGroups"]
              for kind in rule["resources"]}  # fmt: skip
    cluster = YAML(typ="safe").load(PROJECT / "k8s" / "cluster.yaml")
    (entry,) = (
        entry
        for entry in cluster["accessConfig"]["accessEntries"]
        if entry["principalARN"].endswith(f"role/perennial-deploy-{overlay}")
    )

    for each in given:
        assert each["metadata"]["namespace"] == f"perennial-{overlay}"
        if each["kind"] == "RoleBinding":
            assert [subject["name"] for subject in each["subjects"]] == entry["kubernetesGroups"]
    for resource in render(overlay):
        group, _, _ = resource["apiVersion"].rpartition("/")
        if "." in group and not group.endswith(".k8s.io"):
            assert (group, f"{resource['kind'].lower()}s") in custom
        if resource["kind"] != "Namespace":
            assert resource["metadata"]["namespace"] == f"perennial-{overlay}"
