"""Who is meant by a selector: runs get their labels from Prefect, and those must select nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tests.manifests import OVERLAYS, render
from tools.manifests.kubectl import kubectl
from tools.manifests.render_job import prepare_job

ROLE = "perennial.dev/role"
# Names that a problem may have, and that something of ours has, too.
NAMES = ("sentiment", "serving", "worker", "exporter", "run", "mongodb", "mlflow", "prefect")
Labels = dict[str, str]


def _labels_of_run(deployment: str, flow: str = "retrain") -> Labels:
    job = prepare_job(deployment=deployment, flow=flow)
    labels: Labels = job["spec"]["template"]["metadata"]["labels"]
    return labels


def _monitors() -> list[dict[str, Any]]:
    command = [kubectl(), "kustomize", str(PROJECT / "k8s" / "monitoring")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(YAML(typ="safe").load_all(done.stdout))


def _selectors(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every selector of pods in a resource, as one with matchLabels."""
    if resource["kind"] == "Service":
        yield {"matchLabels": resource["spec"]["selector"]}
        return
    yield from _within(resource.get("spec", {}))


def _within(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, list):
        for each in part:
            yield from _within(each)
    if isinstance(part, dict):
        for key, value in part.items():
            if key in {"selector", "podSelector", "labelSelector"}:
                yield value
            elif key != "to":
                yield from _within(value)


def _matches(selector: dict[str, Any], labels: Labels) -> bool:
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def _selecting(resources: list[dict[str, Any]], labels: Labels) -> set[tuple[str, str]]:
    """Return kind and name of what selects a pod with these labels, and not every pod."""
    return {
        (resource["kind"], resource["metadata"]["name"])
        for resource in resources
        for selector in _selectors(resource)
        if selector and _matches(selector, labels)
    }


def _pods(resources: list[dict[str, Any]]) -> dict[str, Labels]:
    """Return name -> labels of the pods that an overlay starts itself."""
    return {
        resource["metadata"]["name"]: resource["spec"]["template"]["metadata"]["labels"]
        for resource in resources
        if resource["kind"] in {"Deployment", "StatefulSet", "Job"}
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_selected_as_a_run_whatever_its_problem_is_called(name: str) -> None:
    labels = _labels_of_run(name)
    # What Prefect makes of it: the names that selectors must not ask for.
    assert labels["app.kubernetes.io/name"] == name

    for overlay in OVERLAYS:
        assert _selecting(render(overlay), labels) == {
            ("NetworkPolicy", "servers"),
            ("NetworkPolicy", "identity"),
        }
    assert not _selecting(_monitors(), labels)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_selector_asks_for_a_label_that_prefect_writes(overlay: str) -> None:
    written = _labels_of_run("sentiment").keys() - {ROLE}
    asked = {
        key
        for resource in [*render(overlay), *_monitors()]
        for selector in _selectors(resource)
        for key in (
            *selector.get("matchLabels", {}),
            *(rule["key"] for rule in selector.get("matchExpressions", [])),
        )
    }

    assert ROLE in asked
    assert not asked & written


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_pod_has_the_role_of_its_name_and_every_selector_finds_one(overlay: str) -> None:
    resources = render(overlay)
    pods = _pods(resources)
    expected = {name: "run" if name == "first-model" else name for name in pods}
    assert {name: labels[ROLE] for name, labels in pods.items()} == expected

    everyone = [*pods.values(), _labels_of_run("sentiment")]
    for resource in [*resources, *_monitors()]:
        for selector in _selectors(resource):
            assert any(_matches(selector, labels) for labels in everyone), resource["metadata"]
    for name in ("serving", "worker", "exporter"):
        selecting = _selecting(resources, pods[name])
        assert {("Deployment", name), ("NetworkPolicy", "servers")} <= selecting
        assert ("NetworkPolicy", "identity") not in selecting
    assert ("Service", "serving") in _selecting(resources, pods["serving"])
    assert _selecting(_monitors(), pods["serving"]) == {("PodMonitor", "serving")}
    assert _selecting(_monitors(), pods["exporter"]) == {("PodMonitor", "flows")}


def test_a_deployment_of_a_problem_does_not_give_its_runs_another_role() -> None:
    plan = YAML(typ="safe").load(PROJECT / "prefect.yaml")

    for flow in plan["definitions"]["flows"].values():
        assert "labels" not in flow["work_pool"].get("job_variables", {})


@pytest.mark.parametrize("flow", ["retrain", "serving"])
def test_a_run_has_the_command_and_the_settings_that_prefect_gives_it(flow: str) -> None:
    (container,) = prepare_job(deployment="sentiment", flow=flow)["spec"]["template"]["spec"][
        "containers"
    ]

    variables = {each["name"]: each["value"] for each in container["env"]}
    assert container["args"][:3] == ["prefect", "flow-run", "execute"]
    assert variables["PREFECT_API_URL"] == "http://prefect:4200/api"
    assert variables["PREFECT__FLOW_NAME"] == flow
    assert _labels_of_run("sentiment", flow)[ROLE] == "run"
