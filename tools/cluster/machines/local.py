"""What the local overlay needs of a node: our images, a MongoDB, and a volume for snapshots."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from perennial.errors import OutsideError
from perennial.settings import PROJECT
from tools.cluster.control_plane import Cluster
from tools.cluster.machines.cluster import Machines
from tools.cluster.machines.machine import Machine
from tools.cluster.machines.space import call
from tools.manifests.reviews import write_reviews

OVERLAY = PROJECT / "k8s" / "overlays" / "local"
SPACE = "perennial-local"
SERVING, WORKER = "localhost/perennial-serving:local", "localhost/perennial-worker:local"
_MONGODB, _STAND_IN = "docker.io/library/mongo:8.0", "localhost/perennial-mongodb:local"
_FLAGS = PROJECT / "tests" / "e2e" / "containers" / "flags.sh"
_WHY = PROJECT / "k8s" / "scripts" / "why.py"
# As all our containers.
_USER = 10001


def lacking() -> str:
    """Return why this machine has no images of ours, or nothing."""
    if shutil.which("buildah") is None:
        return "buildah is not installed; see CONTRIBUTING.md"
    if missing := [each for each in (SERVING, WORKER) if not _has(each)]:
        return f"{' and '.join(missing)} are not built; run `make image`"
    return ""


def add_images(node: Machine, folder: Path) -> None:
    """Give a node our images, and one that stands in for MongoDB's.

    Parameters
    ----------
    node : Machine
        The node.
    folder : Path
        Where archives of them are for as long.

    Raises
    ------
    OutsideError
        If one of them is not built, or cannot be.
    """
    if reason := lacking():
        raise OutsideError(f"{reason}.")
    context = folder / "mongodb"
    context.mkdir()
    _build_stand_in(context)
    for image, name in {SERVING: SERVING, WORKER: WORKER, _STAND_IN: _MONGODB}.items():
        archive = folder / "image.tar"
        call("buildah", "push", "--quiet", image, f"docker-archive:{archive}:{name}")
        node.add_image(archive)
        archive.unlink()


def add_volume(
    live: Machines, name: str, storage_class: str = "", mode: str = "ReadWriteOnce"
) -> None:
    """Give a cluster a volume on its node, for the first claim of a class.

    Parameters
    ----------
    live : Machines
        The cluster.
    name : str
        The name of the volume: a claim that was deleted leaves it to nobody.
    storage_class : str
        The class; empty for none.
    mode : str
        How many may use it.

    Raises
    ------
    OutsideError
        If the cluster refuses it.
    """
    folder = live.node.home / name
    folder.mkdir()
    shutil.chown(folder, _USER, _USER)
    volume = _volume(name, folder, live)
    volume["spec"] |= {"accessModes": [mode], "storageClassName": storage_class}
    live.cluster.apply("--filename=-", given=json.dumps(volume))


def bring_up(live: Machines, folder: Path) -> None:
    """Bring the overlay up as its page says, until a model is in Production and answers.

    Parameters
    ----------
    live : Machines
        A cluster with our images and a volume.
    folder : Path
        Where a file of reviews is written.

    Raises
    ------
    OutsideError
        If a part of it does not come up in time.
    """
    reviews = folder / "reviews.csv"
    write_reviews(reviews)
    live.cluster.apply(f"--filename={OVERLAY / 'namespace.yaml'}")
    do(live.cluster, "create", "configmap", "reviews", f"--from-file={reviews}")
    live.cluster.apply("--kustomize", str(OVERLAY))
    do(live.cluster, "wait", "--for=condition=complete", "job/first-model", "--timeout=600s")
    for name in ("worker", "exporter", "serving"):
        # On a busy machine a first model comes after a rollout's deadline, which stays missed.
        do(live.cluster, "wait", "--for=condition=Available", f"deployment/{name}",
           "--timeout=180s")  # fmt: skip


def take_down(live: Machines) -> None:
    """Remove the overlay and all that it keeps."""
    do(live.cluster, "delete", "namespace", SPACE, "--timeout=180s")


def do(cluster: Cluster, *arguments: str) -> str:
    """Run `kubectl` in the namespace of the overlay and return what it printed.

    Raises
    ------
    OutsideError
        If it fails; it says why pods are not ready.
    """
    done = cluster.kubectl(f"--namespace={SPACE}", *arguments)
    if done.returncode:
        found = cluster.kubectl(
            "get", "pods,events", f"--namespace={SPACE}", "--output=json"
        ).stdout
        why = subprocess.run(
            [sys.executable, str(_WHY)], input=found, capture_output=True, text=True, check=False
        )
        raise OutsideError(f"`kubectl {' '.join(arguments)}`: {done.stderr.strip()}\n{why.stdout}")
    return done.stdout


def _volume(name: str, folder: Path, live: Machines) -> dict[str, Any]:
    host = {"key": "kubernetes.io/hostname", "operator": "In", "values": [live.node.space.name]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            # Nobody measures it.
            "capacity": {"storage": "100Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [host]}]}},
        },
    }


def _build_stand_in(context: Path) -> None:
    containerfile = Path(__file__).parent / "mongodb" / "Containerfile"
    shutil.copy(PROJECT / "requirements-local.txt", context)
    call(
        "buildah", "--runtime", "runc", "bud", "--quiet", "--format", "docker", "--layers",
        "--tag", _STAND_IN, *call(str(_FLAGS)).split(), "--file", str(containerfile), str(context),
    )  # fmt: skip


def _has(image: str) -> bool:
    command = ["buildah", "inspect", "--type=image", image]
    return not subprocess.run(command, capture_output=True, check=False).returncode
