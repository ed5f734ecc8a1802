"""The manifests as `kubectl` renders them, for tests that read them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tools.manifests.kubectl import kubectl

OVERLAYS = ("local", "staging", "production")
# Those with secrets of AWS and a load balancer.
ON_AWS = ("staging", "production")


def render(overlay: str, folder: Path = PROJECT) -> list[dict[str, Any]]:
    """Return what an overlay applies."""
    return rendered(folder / "k8s" / "overlays" / overlay)


def rendered(folder: Path) -> list[dict[str, Any]]:
    """Return what the kustomization in a folder applies."""
    done = subprocess.run(
        [kubectl(), "kustomize", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return list(YAML(typ="safe").load_all(done.stdout))


def with_engine(folder: Path) -> Path:
    """Return the overlay production with the engine, in an empty folder, as its page says."""
    shutil.copytree(PROJECT / "k8s", folder, dirs_exist_ok=True)
    overlay = folder / "overlays" / "production"
    file = overlay / "kustomization.yaml"
    before = "components: [../../components/aws]"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, f"{before[:-1]}, ../../components/engine]"))
    return overlay


def find(resources: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Return the one resource of a kind and a name."""
    (found,) = (r for r in resources if r["kind"] == kind and r["metadata"]["name"] == name)
    return found


def pods(resources: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield kind and name of what starts pods, with the specification of its pod."""
    for resource in resources:
        template = resource.get("spec", {}).get("template", {})
        pod = template.get("spec") if isinstance(template, dict) else None
        if pod:
            yield f"{resource['kind']}/{resource['metadata']['name']}", pod


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the containers of a pod, those that run first in front."""
    return [*pod.get("initContainers", []), *pod["containers"]]
