"""`make smoke-kind`: images, a cluster and the smoke test, of which nothing is left.

Small programs stand in for Docker and kind, and note how they were called.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from perennial.settings import PROJECT

_IMAGES = ["localhost/perennial-serving:local", "localhost/perennial-worker:local"]


def _write_program(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def smoke(tmp_path: Path) -> Callable[[str], tuple[int, list[str]]]:
    """Return a function that runs the script around a smoke test; it gives status and calls."""
    calls = tmp_path / "calls"
    for name in ("docker", "kind"):
        _write_program(tmp_path / "bin" / name, f'echo "{name} $*" >> {calls}')
    scripts = tmp_path / "clone" / "k8s" / "scripts"
    scripts.mkdir(parents=True)
    for name in ("common.sh", "smoke_kind.sh"):
        (scripts / name).write_bytes((PROJECT / "k8s" / "scripts" / name).read_bytes())

    def run(test: str) -> tuple[int, list[str]]:
        _write_program(scripts / "smoke_k8s.sh", f'echo "smoke $KUBECONFIG" >> {calls}\n{test}')
        done = subprocess.run(
            ["bash", str(scripts / "smoke_kind.sh")],
            env=os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.returncode, calls.read_text().splitlines()

    return run


def test_the_smoke_test_runs_on_a_cluster_that_has_both_images_and_is_gone_afterwards(
    smoke: Callable[[str], tuple[int, list[str]]],
) -> None:
    status, calls = smoke("exit 0")

    assert status == 0
    *built, created, loaded, tested, deleted = calls
    assert [call.split()[-2] for call in built] == _IMAGES
    assert "create cluster --name perennial-smoke" in created
    assert loaded.split()[-2:] == _IMAGES
    assert tested == f"smoke {created.rpartition('--kubeconfig ')[2]}"
    assert deleted == "kind delete cluster --name perennial-smoke"


def test_a_smoke_test_that_fails_fails_and_leaves_no_cluster(
    smoke: Callable[[str], tuple[int, list[str]]],
) -> None:
    status, calls = smoke("exit 3")

    assert status == 3
    assert calls[-1] == "kind delete cluster --name perennial-smoke"
