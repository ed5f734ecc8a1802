"""The engine in a cluster: who reaches what, and that its figures agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tests.manifests import containers, find, rendered, with_engine

ENGINE = PROJECT / "k8s" / "engine"
Yaml = dict[str, Any]


def _load(name: str) -> Yaml:
    found: Yaml = YAML(typ="safe").load(ENGINE / name)
    return found


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> list[Yaml]:
    """Production with the engine."""
    return rendered(with_engine(tmp_path_factory.mktemp("k8s")))


@pytest.fixture
def parts() -> dict[str, Yaml]:
    """The run, the scheduler and a worker, each with its labels and its pod."""
    spec = _load("run.yaml")["spec"]
    return {"run": spec["job"], **spec["cluster"]["spec"]}


def test_nothing_of_a_run_is_there_before_one_is_started(production: list[Yaml]) -> None:
    assert not [each for each in production if each["apiVersion"].startswith("kubernetes.dask.org")]


def test_only_runs_and_workers_reach_the_port_by_which_code_is_run(production: list[Yaml]) -> None:
    policy = find(production, "NetworkPolicy", "engine-scheduler")["spec"]

    (callers,) = (
        rule["from"]
        for rule in policy["ingress"]
        if {"protocol": "TCP", "port": 8786} in rule["ports"]
    )

    (caller,) = callers
    assert caller == {
        "podSelector": {
            "matchExpressions": [
                {"key": "perennial.dev/role", "operator": "In", "values": ["run", "engine-worker"]}
            ]
        }
    }


def test_a_worker_is_let_to_its_scheduler_alone(production: list[Yaml]) -> None:
    (rule,) = find(production, "NetworkPolicy", "engine-worker")["spec"]["egress"]

    assert rule == {
        "to": [{"podSelector": {"matchLabels": {"perennial.dev/role": "engine-scheduler"}}}],
        "ports": [{"protocol": "TCP", "port": 8786}],
    }


def test_scheduler_and_workers_know_no_secret_and_have_no_rights(
    parts: dict[str, Yaml], production: list[Yaml]
) -> None:
    for name in ("scheduler", "worker"):
        pod = parts[name]["spec"]
        assert pod["serviceAccountName"] == "engine"
        assert pod["automountServiceAccountToken"] is False
        assert not [each for each in containers(pod) if "envFrom" in each]
        assert "secret" not in str(pod).lower()
    assert find(production, "ServiceAccount", "engine")
    bound = [each["subjects"] for each in production if each["kind"] == "RoleBinding"]
    assert "engine" not in str(bound)


def test_every_pod_of_the_engine_is_restricted_and_has_limits(parts: dict[str, Yaml]) -> None:
    for part in parts.values():
        pod = part["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            assert container["image"] == "perennial-worker"
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def test_a_run_waits_for_the_workers_that_it_has_at_least(parts: dict[str, Yaml]) -> None:
    least = _load("workers.yaml")["spec"]["minimum"]
    (wait,) = parts["run"]["spec"]["initContainers"]

    assert parts["worker"]["replicas"] == least
    assert f"wait_for_workers({least}," in wait["args"][0]


def test_the_run_asks_the_scheduler_that_the_operator_makes_for_it(parts: dict[str, Yaml]) -> None:
    name = _load("run.yaml")["metadata"]["name"]
    (container,) = parts["run"]["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}

    assert variables["DASK_SCHEDULER"] == f"tcp://{name}-scheduler:8786"
    assert parts["scheduler"]["service"]["selector"]["dask.org/cluster-name"] == name
    assert _load("workers.yaml")["spec"]["cluster"] == name


def test_run_and_workers_share_the_folder_of_their_data(
    parts: dict[str, Yaml], production: list[Yaml]
) -> None:
    claim = find(production, "PersistentVolumeClaim", "engine")["spec"]

    assert claim["accessModes"] == ["ReadWriteMany"]
    assert claim["storageClassName"] == _load("storage-class.yaml")["metadata"]["name"]
    for name in ("run", "worker"):
        pod = parts[name]["spec"]
        assert {"name": "data", "persistentVolumeClaim": {"claimName": "engine"}} in pod["volumes"]
        for container in containers(pod):
            assert {"name": "data", "mountPath": "/data"} in container["volumeMounts"]


def test_the_page_installs_the_operator_that_the_manifests_are_checked_with() -> None:
    (checked,) = re.findall(
        r"^dask-kubernetes==(\S+)",
        (PROJECT / "requirements-operator.txt").read_text(),
        re.MULTILINE,
    )

    page = Path(PROJECT / "docs" / "explanation" / "scale.md").read_text()

    assert f"dask-kubernetes-operator --version {checked}" in page
