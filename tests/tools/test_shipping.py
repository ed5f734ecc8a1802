"""What ships the project: workflows, manifests, scripts and code agree with each other."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from settings import PROJECT

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yaml"))
OVERLAYS = ("local", "staging", "production")
# Not commands of the project: a setting for the steps that follow.
_PLAIN_STEPS = re.compile(r'echo "MONGODB_URI=')
_MAKE = re.compile(r"\bmake (?:--silent )?([a-z0-9-]+)")
_DIGEST = "sha256:" + "0123456789abcdef" * 4


def _load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def _render(overlay: str, folder: Path = PROJECT) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder / "k8s" / "overlays" / overlay)],
        capture_output=True,
        text=True,
        check=True,
    )
    return list(YAML(typ="safe").load_all(done.stdout))


def _find(resources: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (r for r in resources if r["kind"] == kind and r["metadata"]["name"] == name)
    return found


def _steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for workflow in WORKFLOWS:
        for job in _load(workflow)["jobs"].values():
            yield from ((workflow.name, step) for step in job["steps"])


def test_every_command_of_a_workflow_is_a_make_target() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    for workflow, step in _steps():
        command = step.get("run")
        if command is None or _PLAIN_STEPS.match(command):
            continue
        called = _MAKE.findall(command)
        assert called, f"{workflow}: {command!r} calls no make target"
        assert set(called) <= targets, f"{workflow}: {command!r}"


def test_every_action_is_pinned_by_its_commit() -> None:
    for workflow, step in _steps():
        if "uses" in step:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]), workflow


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_least_rights_and_one_run_at_a_time(workflow: Path) -> None:
    content = _load(workflow)

    assert "concurrency" in content
    assert content["permissions"] in ({}, {"contents": "read"})
    assert "AWS_SECRET_ACCESS_KEY" not in workflow.read_text()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_restricted_and_has_limits(overlay: str) -> None:
    for resource in _render(overlay):
        template = resource.get("spec", {}).get("template", {})
        pod = template.get("spec") if isinstance(template, dict) else None
        if not pod:
            continue
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_job_of_a_run_finds_what_it_names(overlay: str) -> None:
    resources = _render(overlay)
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
    worker = _find(resources, "Deployment", "worker")["spec"]["template"]["spec"]
    (environment,) = (
        variable["value"]
        for variable in worker["initContainers"][0]["env"]
        if variable["name"] == "RUN_IMAGE"
    )
    assert environment == worker["containers"][0]["image"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_update_of_the_service_takes_no_pod_away_before_another_is_ready(overlay: str) -> None:
    spec = _find(_render(overlay), "Deployment", "serving")["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]

    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    drain = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > drain


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_a_password_is_in_no_manifest(overlay: str) -> None:
    assert not [r for r in _render(overlay) if r["kind"] == "Secret"]


def test_every_alert_has_a_runbook() -> None:
    text = (PROJECT / "docs" / "runbooks.md").read_text()
    sections = {title.lower() for title in re.findall(r"^## (\w+)$", text, re.MULTILINE)}
    for group in _load(PROJECT / "k8s" / "monitoring" / "rules.yaml")["spec"]["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                page, _, section = rule["annotations"]["runbook_url"].partition("#")
                assert page == "docs/runbooks.md"
                assert section == rule["alert"].lower()
                assert section in sections


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone with what deploys, and a repository that stands for GitHub's."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("k8s", "Makefile"):
        subprocess.run(["cp", "-r", str(PROJECT / name), str(folder)], check=True)
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "origin")], check=True)
    commands = (
        ["git", "init", "--quiet", "--initial-branch=main"],
        ["git", "add", "."],
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first"],
        ["git", "remote", "add", "origin", str(tmp_path / "origin")],
    )
    for command in commands:
        subprocess.run(command, cwd=folder, check=True)
    return folder


@pytest.fixture
def make(checkout: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that calls a target as cd.yaml does, with a kubectl that notes its calls.

    Only what talks to a cluster is replaced: `kustomize` goes to the real one.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    real = subprocess.run(["which", "kubectl"], capture_output=True, text=True, check=True)
    (programs / "kubectl").write_text(
        "#!/bin/sh\n"
        f'[ "$1" = kustomize ] && exec {real.stdout.strip()} "$@"\n'
        f'echo "$*" >> {tmp_path}/calls\n'
        'case "$*" in *"rollout status deployment/serving"*)\n'
        f"  [ ! -e {tmp_path}/broken ] || {{ rm {tmp_path}/broken; exit 1; }};; esac\n"
    )
    (programs / "kubectl").chmod(0o755)

    def call(target: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "OVERLAY": "staging",
            **variables,
        }
        return subprocess.run(
            ["make", "--silent", target],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


IMAGES = " ".join(
    f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/perennial-{name}@{_DIGEST}"
    for name in ("serving", "worker")
)


def _branch(checkout: Path) -> str:
    done = subprocess.run(
        ["git", "ls-remote", "origin", "refs/heads/deploy-staging"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout[:40]


def test_the_pushed_digests_reach_the_overlay_and_the_branch_of_argo_cd(
    make: Callable[..., Any], checkout: Path
) -> None:
    assert make("set-image", IMAGES=IMAGES).returncode == 0
    recorded = make("record")
    again = make("record")

    assert recorded.returncode == again.returncode == 0, recorded.stderr + again.stderr
    assert _branch(checkout)
    pods = [
        _find(_render("staging", checkout), "Deployment", name)["spec"]["template"]["spec"]
        for name in ("serving", "worker")
    ]
    used = [container["image"] for pod in pods for container in pod["containers"]]
    assert used == IMAGES.split()
    assert make("digests").stdout.strip() == IMAGES


def test_what_is_no_digest_is_not_deployed(make: Callable[..., Any]) -> None:
    done = make("set-image", IMAGES="registry/perennial-serving:latest registry/perennial-worker:1")

    assert done.returncode
    assert "is no image with a digest" in done.stderr


def test_a_rollout_that_fails_is_taken_back(
    make: Callable[..., Any], checkout: Path, tmp_path: Path
) -> None:
    make("set-image", IMAGES=IMAGES)
    make("record")
    good = _branch(checkout)
    make("set-image", IMAGES=IMAGES.replace("0123", "3210"))
    make("record")
    assert _branch(checkout) != good
    (tmp_path / "broken").touch()

    done = make("deploy")

    assert done.returncode
    assert "is taken back" in done.stderr
    calls = (tmp_path / "calls").read_text()
    assert "rollout undo deployment/serving" in calls
    assert "rollout undo deployment/worker" in calls
    assert "rollout undo deployment/exporter" in calls
    assert _branch(checkout) == good


def test_a_rollout_that_succeeds_stays(make: Callable[..., Any], tmp_path: Path) -> None:
    done = make("deploy")

    assert done.returncode == 0, done.stderr
    assert "undo" not in (tmp_path / "calls").read_text()


def test_without_a_cluster_the_smoke_test_says_that_it_was_skipped() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    done = subprocess.run(
        [str(PROJECT / "k8s" / "scripts" / "smoke_k8s.sh")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0
    assert "SKIPPED: KUBECONFIG names no cluster" in done.stdout
