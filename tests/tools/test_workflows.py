"""What GitHub Actions does, a person can do: every step is a make target, which is tried."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from perennial.settings import PROJECT

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yaml"))
# Not a command of the project: a setting for the steps that follow.
_PLAIN_STEPS = re.compile(r'echo "MONGODB_URI=')
_MAKE = re.compile(r"\bmake (?:--silent )?([a-z0-9-]+)")
_BY_HAND = "as people run it"
# Where each target that a workflow calls is tried: by people before each change, or in a test,
# whose name says what stands for something that cannot be had.
EXERCISED = {
    "lint": _BY_HAND,
    "docs": "tests/tools/test_site.py::test_every_link_of_the_site",
    "dist": _BY_HAND,
    "release": "tests/tools/test_release.py::test_a_tag_is_released",
    "check-deploy": _BY_HAND,
    "test": _BY_HAND,
    "test-thorough": _BY_HAND,
    "test-e2e": _BY_HAND,
    "test-image": _BY_HAND,
    "test-cluster": _BY_HAND,
    "smoke-kind": "tests/tools/test_kind.py::test_the_smoke_test_runs_on_a_cluster",
    "run": "tests/e2e/test_quickstart.py",
    "push": "tests/e2e/test_release.py::test_what_is_pushed_is_found_by_its_digest",
    "scan": "tests/tools/test_shipping.py::test_a_vulnerable_image_ends_the_release",
    "sign": "tests/tools/test_shipping.py::test_both_digests_are_signed",
    "digests": "tests/tools/test_shipping.py::test_the_pushed_digests_reach",
    "kubeconfig": "tests/e2e/test_release.py::test_a_cluster_comes_and_goes",
    "set-image": "tests/tools/test_shipping.py::test_the_pushed_digests_reach",
    "record": "tests/tools/test_shipping.py::test_the_pushed_digests_reach",
    "deploy": "tests/tools/test_shipping.py::test_a_rollout_that_fails_is_taken_back",
}


def _load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


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


def _called() -> set[str]:
    commands = [step["run"] for _, step in _steps() if "run" in step]
    return {target for command in commands for target in _MAKE.findall(command)}


def test_every_target_that_a_workflow_calls_is_tried() -> None:
    assert _called() == set(EXERCISED)


@pytest.mark.parametrize("target", EXERCISED)
def test_what_tries_a_target_is_there(target: str) -> None:
    where, _, name = EXERCISED[target].partition("::")
    if where == _BY_HAND:
        assert f"`make {target}`" in (PROJECT / "CONTRIBUTING.md").read_text()
    else:
        assert f"def {name or 'test_'}" in (PROJECT / where).read_text()


def test_a_step_that_only_sets_a_variable_sets_it(tmp_path: Path) -> None:
    (command,) = {step["run"] for _, step in _steps() if _PLAIN_STEPS.match(step.get("run", ""))}
    environment = {**os.environ, "GITHUB_ENV": str(tmp_path / "environment")}

    subprocess.run(["bash", "-euc", command], env=environment, check=True)

    line = (tmp_path / "environment").read_text()
    assert line == "MONGODB_URI=mongodb://127.0.0.1:27017/?directConnection=true\n"
