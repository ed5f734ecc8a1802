"""The local overlay is whole: runs share what they keep, and only what has documents is due.

The pods are those that `kubectl` and Prefect's worker make of it.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from ruamel.yaml import YAML

from deployments.plan import plan_problems
from perennial.config.loader import load_problems
from perennial.settings import PROJECT, OperationSettings, Settings
from tests.manifests import OVERLAYS, containers, find, render
from tools.manifests.render_job import prepare_job

Yaml = dict[str, Any]
PROBLEMS = PROJECT / "k8s" / "overlays" / "local" / "problems"


@cache
def _local() -> list[Yaml]:
    return render("local")


def _pod(kind: str, name: str) -> Yaml:
    pod: Yaml = find(_local(), kind, name)["spec"]["template"]["spec"]
    return pod


def _run() -> Yaml:
    """The pod of a run, as the worker of the overlay has it prepared."""
    (pool,) = _pod("Deployment", "worker")["initContainers"]
    (variables,) = (
        each["value"] for each in pool["env"] if each["name"] == "OPERATION_RUN_VARIABLES"
    )
    operation = OperationSettings(
        work_pool_type="kubernetes", run_image="worker", run_variables=json.loads(variables)
    )
    job = prepare_job(deployment="sentiment", flow="monitor", operation=operation)
    pod: Yaml = job["spec"]["template"]["spec"]
    return pod


def _mounted(pod: Yaml) -> dict[str, Yaml]:
    """Return what is where in every container of a pod: path -> volume without its name."""
    volumes = {each["name"]: each for each in pod["volumes"]}
    found = [
        {mount["mountPath"]: volumes[mount["name"]] for mount in each["volumeMounts"]}
        for each in pod["containers"]
    ]
    shared = set.intersection(*(set(each) for each in found))
    return {
        path: {key: value for key, value in found[0][path].items() if key != "name"}
        for path in shared
    }


def _servers() -> dict[str, str]:
    data: dict[str, str] = find(_local(), "ConfigMap", "servers")["data"]
    return data


def test_a_run_reads_the_snapshots_that_an_earlier_one_has_kept() -> None:
    where = _servers()["DATA_URI"]
    claim = {"persistentVolumeClaim": {"claimName": "snapshots"}}

    assert find(_local(), "PersistentVolumeClaim", "snapshots")
    assert _mounted(_run())[where] == claim
    assert _mounted(_pod("Job", "first-model"))[where] == claim


def test_a_run_may_write_where_its_image_does() -> None:
    mounted = _mounted(_run())

    assert "emptyDir" in mounted["/tmp"]
    assert "emptyDir" in mounted["/data"]


@pytest.mark.parametrize("name", ["worker", "exporter", "serving"])
def test_all_parts_know_the_problems_of_the_overlay(name: str) -> None:
    where, problems = _servers()["PROBLEMS_DIR"], {"configMap": {"name": "problems"}}
    pod = _pod("Deployment", name)

    assert _mounted(_run())[where] == problems
    assert _mounted(_pod("Job", "first-model"))[where] == problems
    assert {"name": "problems", **problems} in pod["volumes"]
    reading = [each for each in containers(pod) if each["name"] in {"pool", "exporter", "serving"}]
    for container in reading:
        assert {"name": "problems", "mountPath": where, "readOnly": True} in container[
            "volumeMounts"
        ]
        assert {"configMapRef": {"name": "servers"}} in container["envFrom"]


def test_only_problems_whose_documents_the_overlay_loads_are_scheduled() -> None:
    loaded = load_problems(PROBLEMS)
    in_map = {
        name.removesuffix(".yaml") for name in find(_local(), "ConfigMap", "problems")["data"]
    }
    (script,) = _pod("Job", "first-model")["containers"][0]["args"]
    plan = plan_problems(loaded.problems, Settings(problems_dir=PROBLEMS))

    assert not loaded.errors
    assert {problem.name for problem in loaded.problems} == in_map
    assert plan
    for name in in_map:
        assert f"seed {name} " in script
        assert f"retrain {name}\n" in script


def test_the_small_cluster_needs_no_metrics_of_its_own() -> None:
    assert not [each for each in _local() if each["kind"] == "HorizontalPodAutoscaler"]
    assert find(_local(), "Deployment", "serving")["spec"]["replicas"] == 2


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_namespace_refuses_warns_and_records_by_the_same_standard(overlay: str) -> None:
    (namespace,) = (each for each in render(overlay) if each["kind"] == "Namespace")
    labels = namespace["metadata"]["labels"]
    modes = ("enforce", "warn", "audit")

    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in modes} == {"restricted"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_ends_runs_that_cannot_start_may_do_so(overlay: str) -> None:
    manifests = render(overlay)
    rules = find(manifests, "Role", "worker")["rules"]
    pod = find(manifests, "Deployment", "worker")["spec"]["template"]["spec"]
    allowed = {
        (kind, verb) for rule in rules for kind in rule["resources"] for verb in rule["verbs"]
    }
    (watcher,) = (each for each in pod["containers"] if each["name"] == "unstarted")

    assert pod["automountServiceAccountToken"]
    assert allowed >= {("jobs", "list"), ("jobs", "delete"), ("pods", "list"), ("events", "list")}
    assert "OPERATION_RUN_NAMESPACE" in {each["name"] for each in watcher["env"]}


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_finalizer_of_argo_cd_has_a_path_as_kubernetes_wants_it(name: str) -> None:
    application = YAML(typ="safe").load(PROJECT / "k8s" / "argocd" / f"{name}.yaml")

    for finalizer in application["metadata"]["finalizers"]:
        domain, _, path = finalizer.partition("/")
        assert "." in domain
        assert path
