"""Containers of our images, run as Kubernetes would run them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parent / "containers"
SERVING, WORKER = "localhost/perennial-serving:local", "localhost/perennial-worker:local"
USER = 10001
LIMITS = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


def podman(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Call podman with a configuration that works inside of a container, too."""
    environment = {**os.environ, "CONTAINERS_CONF": str(_FOLDER / "containers.conf")}
    return subprocess.run(
        ["podman", *arguments],
        capture_output=True,
        text=True,
        check=check,
        timeout=300,
        env=environment,
    )


def require_images() -> None:
    """Skip where there is nothing to run the images with, or no images."""
    for tool in ("podman", "runc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed; see CONTRIBUTING.md")
    for image in (SERVING, WORKER):
        if podman("image", "exists", image, check=False).returncode:
            pytest.skip(f"{image} is not built; run `make image`")
