"""What a node is made of: built once of pinned modules, or named where this machine lacks it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from perennial.errors import OutsideError
from tests.tools.cluster.conftest import WRITES_WHAT_IT_BUILDS
from tools.cluster.machines import programs

_FOLDER = Path(programs.__file__).parent


@pytest.fixture
def modules() -> list[dict[str, Any]]:
    pinned: list[dict[str, Any]] = YAML(typ="safe").load(_FOLDER / "modules.yaml")
    return pinned


def _answer(modules: list[dict[str, Any]], folder: Path) -> str:
    """Return a script that fetches each module as it is pinned, and writes what it builds."""
    cases = []
    for number, module in enumerate(modules):
        files = folder / str(number)
        files.mkdir(parents=True)
        found = json.dumps({"Dir": str(files), "Sum": module["sum"]})
        cases.append(f"*{module['module']}@*) echo '{found}'; exit;;")
    return f'case "$*" in\n{chr(10).join(cases)}\nesac\n{WRITES_WHAT_IT_BUILDS}'


def test_each_program_of_a_node_is_built_once(
    toolchain: Callable[[str], Path], modules: list[dict[str, Any]], tmp_path: Path
) -> None:
    calls = toolchain(_answer(modules, tmp_path / "modules"))

    programs.build()
    programs.build()

    lines = calls.read_text().splitlines()
    built = [line.split()[-1] for line in lines if line.startswith("build ")]
    pinned = [package for module in modules for package in module["programs"].values()]
    assert built[:2] == ["k8s.io/kubernetes/cmd/kubelet", "k8s.io/kubernetes/cmd/kube-proxy"]
    assert built[-len(pinned) :] == pinned
    assert programs.missing() == []


def test_a_module_of_another_checksum_is_refused(
    toolchain: Callable[[str], Path], modules: list[dict[str, Any]], tmp_path: Path
) -> None:
    for module in modules:
        module["sum"] = "h1:another="
    toolchain(_answer(modules, tmp_path / "modules"))

    with pytest.raises(OutsideError, match="has the checksum h1:another="):
        programs.build()


def test_what_this_machine_lacks_is_named_with_the_packages_that_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "ipset" else f"/bin/{name}")
    assert programs.lacking() == "a node needs ipset: `apt-get install ipset`"

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert programs.lacking() == "a node needs root"
