"""What breaks in the local overlay, one after the other."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from perennial.errors import OutsideError
from tools.cluster.machines.cluster import Machines
from tools.cluster.machines.local import SPACE, do

_WRONG = "mongodb://perennial:wrong@mongodb:27017/?directConnection=true"
_WITHOUT_WAITING = "--wait=false"
_RETRAINING = "--selector=prefect.io/flow-name=retrain"
# Memory with which no retraining gets far.
TOO_LITTLE = "300Mi"


@dataclass(frozen=True)
class Fault:
    """Something that breaks.

    Attributes
    ----------
    name : str
        What it is, for people.
    begin : callable
        Breaks it.
    end : callable, optional
        Mends what does not mend itself.
    seconds : float
        How long it lasts before `end`.
    lacking : callable, optional
        Returns what is not as it should be yet, besides Deployments.
    """

    name: str
    begin: Callable[[Machines], None]
    end: Callable[[Machines], None] | None = None
    seconds: float = 0.0
    lacking: Callable[[Machines], list[str]] | None = None


def _pod(live: Machines, role: str) -> dict[str, str]:
    """Return name, address, node and container of a pod that is ready."""
    chosen = f"--selector=perennial.dev/role={role}"
    found = json.loads(do(live.cluster, "get", "pods", chosen, "--output=json"))["items"]
    for pod in found:
        (first, *_) = pod["status"]["containerStatuses"]
        if first["ready"] and "deletionTimestamp" not in pod["metadata"]:
            return {
                "name": pod["metadata"]["name"],
                "address": pod["status"]["podIP"],
                "node": pod["spec"]["nodeName"],
                "container": first["containerID"].rpartition("/")[2],
            }
    raise LookupError(f"No pod of {role} is ready.")


def _delete(role: str, *options: str) -> Callable[[Machines], None]:
    def begin(live: Machines) -> None:
        do(live.cluster, "delete", "pod", _pod(live, role)["name"], _WITHOUT_WAITING, *options)

    return begin


def _kill(role: str) -> Callable[[Machines], None]:
    """End the first process of a container as the kernel does when memory is short."""

    def begin(live: Machines) -> None:
        pod = _pod(live, role)
        live.named(pod["node"]).kill(pod["container"])

    return begin


def _within(role: str, program: str) -> Callable[[Machines], None]:
    """Run a program of Python in a pod, which may end with it."""

    def begin(live: Machines) -> None:
        name, space = _pod(live, role)["name"], f"--namespace={SPACE}"
        live.cluster.kubectl("exec", space, name, "--", "python", "-c", program)

    return begin


def _cut(role: str, action: str) -> Callable[[Machines], None]:
    """Drop, or let through again, all that goes to a pod."""

    def change(live: Machines) -> None:
        pod = _pod(live, role)
        live.named(pod["node"]).space.run(
            "iptables", f"--{action}", "FORWARD", "--destination", pod["address"], "--jump", "DROP"
        )

    return change


def _set_password(uri: str) -> Callable[[Machines], None]:
    def change(live: Machines) -> None:
        value = base64.b64encode(uri.encode()).decode()
        patch = json.dumps({"data": {"MONGODB_URI": value}})
        do(live.cluster, "patch", "secret", "serving", f"--patch={patch}")
        do(live.cluster, "rollout", "restart", "deployment/serving")

    return change


def _drain(live: Machines) -> None:
    """Move all pods from the last node to the others, as an upgrade does.

    Raises
    ------
    OutsideError
        If no pod of the service is there.
    """
    name = live.nodes[-1].space.name
    chosen = ("--selector=perennial.dev/role=serving", f"--field-selector=spec.nodeName={name}")
    if not do(live.cluster, "get", "pods", *chosen, "--output=name"):
        raise OutsideError(f"No pod of the service is on {name}, so that its drain shows nothing.")
    do(live.cluster, "drain", name, "--delete-emptydir-data", "--timeout=150s")


def _uncordon(live: Machines) -> None:
    do(live.cluster, "uncordon", live.nodes[-1].space.name)


def _starve_run(live: Machines) -> None:
    """Start a retraining with too little memory, and wait until its Job is there."""
    said = do(
        live.cluster, "exec", "deployment/worker", "--container=worker", "--",
        "prefect", "deployment", "run", "retrain/sentiment",
        "--job-variable", f"memory_request={TOO_LITTLE}",
        "--job-variable", f"memory_limit={TOO_LITTLE}",
    )  # fmt: skip
    found = re.search(r"UUID: ([0-9a-f-]{36})", said)
    if found is None:
        raise OutsideError(f"Prefect started no run: {said}")
    chosen = f"--selector=prefect.io/flow-run-id={found[1]}"
    do(live.cluster, "wait", "--for=create", "job", chosen, "--timeout=120s")


def _unfinished(live: Machines) -> list[str]:
    """Return the Job of the last retraining, if that has not completed."""
    return unfinished(
        json.loads(do(live.cluster, "get", "jobs", _RETRAINING, "--output=json"))["items"]
    )


def unfinished(jobs: list[dict[str, Any]]) -> list[str]:
    """Return the name of the last Job, if it is the starved one or has not completed.

    Parameters
    ----------
    jobs : list of dict
        As the API server has them.
    """
    last = max(jobs, key=lambda job: str(job["metadata"]["creationTimestamp"]))
    (container,) = last["spec"]["template"]["spec"]["containers"]
    # Prefect's own process outlives that of the run, and its Job completes.
    is_starved = container["resources"]["limits"]["memory"] == TOO_LITTLE
    has_completed = bool(last["status"].get("succeeded")) and not is_starved
    return [] if has_completed else [last["metadata"]["name"]]


_FILL_DISK = """
with open("/data/filled", "wb") as file:
    for _ in range(1100):
        file.write(bytes(2**20))
"""
_FILL_MEMORY = "held = [b'x' * 2**20 for _ in range(4096)]"

FAULTS = (
    Fault("pod of the service deleted", _delete("serving")),
    Fault("pod of the service deleted by force", _delete("serving", "--force", "--grace-period=0")),
    Fault("node drained", _drain, _uncordon, 30.0),
    Fault("first process of the service killed", _kill("serving")),
    Fault("memory limit hit in the service", _within("serving", _FILL_MEMORY)),
    # The node evicts such a pod when it looks next.
    Fault("disk of the cache full", _within("serving", _FILL_DISK), seconds=100.0),
    Fault("wrong password, rolled out", _set_password(_WRONG),
          _set_password("mongodb://mongodb:27017/?directConnection=true"), 30.0),
    Fault("network cut to the registry", _cut("mlflow", "insert"), _cut("mlflow", "delete"), 60.0),
    Fault("process of MongoDB killed", _kill("mongodb")),
    Fault("process of MLflow killed", _kill("mlflow")),
    Fault("process of Prefect killed", _kill("prefect")),
    Fault("pod of the worker deleted", _delete("worker")),
    # Prefect starts the run again, with its usual memory.
    Fault("memory limit hit in a run", _starve_run, lacking=_unfinished),
)  # fmt: skip
