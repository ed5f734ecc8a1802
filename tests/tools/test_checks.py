"""`make check` and the hooks before a commit: the same commands, which need Python alone."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from ruamel.yaml import YAML

from perennial.settings import PROJECT

TARGETS = ("check-format", "check-lint", "check-types", "check-imports", "check-unit")


def _plan(*targets: str) -> list[str]:
    """The commands of make, without running them; the environment counts as installed."""
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "--assume-old=.venv/dev", *targets],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_hooks_run_the_commands_of_make_check() -> None:
    config = YAML(typ="safe").load(PROJECT / ".pre-commit-config.yaml")
    (repository,) = config["repos"]
    hooks = {hook["entry"]: hook for hook in repository["hooks"]}
    known = {stage for hook in hooks.values() for stage in hook["stages"]}

    assert repository["repo"] == "local"
    assert sorted(hooks) == sorted(_plan(*TARGETS))
    assert set(config["default_install_hook_types"]) == known
    assert all(hook["language"] == "system" for hook in hooks.values())
    assert not any(hook["pass_filenames"] for hook in hooks.values())


def test_make_check_runs_all_checks() -> None:
    assert set(_plan(*TARGETS)) <= set(_plan("check"))


@pytest.mark.parametrize("command", _plan(*TARGETS))
def test_a_check_needs_python_alone(command: str) -> None:
    assert shlex.split(command)[0].startswith(".venv/bin/")
