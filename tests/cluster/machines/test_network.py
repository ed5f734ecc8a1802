"""Network policies are enforced: a run reaches what it needs, and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.machines.probes import address_of_this_machine, listening, reached
from tests.manifests import render, rendered, with_engine
from tools.cluster.machines.cluster import Machines
from tools.cluster.machines.machine import PAUSE
from tools.cluster.machines.space import GATEWAY
from tools.manifests.render_job import OPERATION, prepare_job

# Outside of the cluster, each with an address of its own.
PREFECT, DAGSHUB, S3 = "198.51.100.101:443", "198.51.100.102:443", "198.51.100.103:443"
ATLAS = "198.51.100.104:27017"
SERVERS = (PREFECT, DAGSHUB, S3, ATLAS)
# Nobody's business, on the same machines.
OTHERS = (f"{GATEWAY}:8080", "198.51.100.104:22", "198.51.100.103:80")
# The credentials of a node on AWS, and those of a run.
METADATA, IDENTITY = "169.254.169.254", "169.254.170.23"
KUBERNETES = f"{GATEWAY}:6443"
_FOR_RUNS = ("Namespace", "NetworkPolicy", "ServiceAccount", "ConfigMap")


@pytest.fixture(scope="module")
def outside(live: Machines) -> Iterator[Machines]:
    """Servers outside of the cluster, each of which takes connections."""
    of_the_node = (f"{METADATA}:80", f"{METADATA}:443", f"{IDENTITY}:80")
    with ExitStack() as made:
        for address in (METADATA, IDENTITY, *(each.partition(":")[0] for each in SERVERS)):
            made.enter_context(address_of_this_machine(address))
        made.enter_context(listening(*SERVERS, *OTHERS, *of_the_node))
        yield live


def _all_addresses(live: Machines) -> list[str]:
    (dns,) = live.cluster.get("pods", "--namespace=kube-system", "--selector=k8s-app=kube-dns")
    return [
        *OTHERS, *SERVERS, KUBERNETES, f"{METADATA}:80", f"{METADATA}:443", f"{IDENTITY}:80",
        f"{dns['status']['podIP']}:53", f"{dns['status']['podIP']}:8181",
        f"{live.node.space.address}:10250",
    ]  # fmt: skip


def _prepare(live: Machines, overlay: str) -> dict[str, Any]:
    """Make what a run of an overlay needs, and no server; return its Job."""
    space = f"perennial-{overlay}"
    wanted = [each for each in render(overlay) if each["kind"] in _FOR_RUNS]
    listed = {"apiVersion": "v1", "kind": "List", "items": wanted}
    live.cluster.apply("--filename=-", given=json.dumps(listed))
    secret = {"apiVersion": "v1", "kind": "Secret",
              "metadata": {"name": "worker", "namespace": space}}  # fmt: skip
    live.cluster.apply("--filename=-", given=json.dumps(secret))
    operation = OPERATION.model_copy(
        update={
            "run_namespace": space,
            "run_image": PAUSE,
            "run_variables": {"cpu_request": "100m", "memory_request": "128Mi"},
        }
    )
    # A problem may have the name of a part of ours.
    return prepare_job(deployment="serving", flow="retrain", operation=operation)


def test_a_run_on_aws_reaches_its_servers_names_and_credentials_and_never_anything_else(
    outside: Machines,
) -> None:
    addresses = _all_addresses(outside)
    (names,) = (each for each in addresses if each.endswith(":53"))

    found = reached(outside.cluster, _prepare(outside, "production"), addresses, first=S3)

    assert found == {*SERVERS, f"{IDENTITY}:80", names}


def _listener(name: str, role: str, ports: Sequence[int]) -> dict[str, Any]:
    """Return a pod with the role of a part that takes connections; its image has only BusyBox."""
    listen = " ".join(f"/busybox nc -ll -p {port} -e /busybox true &" for port in ports)
    context = {
        "runAsNonRoot": True, "runAsUser": 10001, "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    container = {
        "name": "listen", "image": PAUSE, "imagePullPolicy": "Never", "securityContext": context,
        "command": ["/busybox", "sh", "-c", f"{listen} exec /busybox sleep 3600"],
    }  # fmt: skip
    about = {"name": name, "namespace": "perennial-production",
             "labels": {"perennial.dev/role": role}}  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about,
            "spec": {"containers": [container], "automountServiceAccountToken": False}}  # fmt: skip


def _of_role(job: dict[str, Any], role: str) -> dict[str, Any]:
    changed = copy.deepcopy(job)
    changed["spec"]["template"]["metadata"]["labels"]["perennial.dev/role"] = role
    return changed


def test_only_runs_and_workers_reach_the_engines_scheduler_and_workers_nothing_else(
    outside: Machines, tmp_path: Path
) -> None:
    run = _prepare(outside, "production")
    space = "--namespace=perennial-production"
    overlay = rendered(with_engine(tmp_path / "k8s"))
    policies = [each for each in overlay if each["kind"] == "NetworkPolicy"]
    parts = [
        _listener("scheduler", "engine-scheduler", (8786, 8787)),
        _listener("a-worker", "engine-worker", (8788, 8789)),
    ]
    listed = {"apiVersion": "v1", "kind": "List", "items": [*policies, *parts]}
    outside.cluster.apply("--filename=-", given=json.dumps(listed))
    waited = outside.cluster.kubectl(
        "wait", "--for=condition=Ready", "pods/scheduler", "pods/a-worker", space, "--timeout=120s"
    )
    assert waited.returncode == 0, waited.stderr
    found = outside.cluster.get("pods", space)
    at = {each["metadata"]["name"]: each["status"].get("podIP") for each in found}
    engine = {f"{at['scheduler']}:8786", f"{at['scheduler']}:8787",
              f"{at['a-worker']}:8788", f"{at['a-worker']}:8789"}  # fmt: skip
    (names,) = (each for each in _all_addresses(outside) if each.endswith(":53"))
    others = [names, S3, ATLAS, KUBERNETES]
    scheduler, worker = f"{at['scheduler']}:8786", f"{at['a-worker']}:8788"

    def reaches(role: str, first: str) -> set[str]:
        return reached(outside.cluster, _of_role(run, role), [*engine, *others], first=first)

    assert reaches("run", S3) & engine == {scheduler}
    assert reaches("engine-worker", scheduler) == {scheduler, names}
    assert reaches("engine-scheduler", worker) == {worker, names}
    assert not reaches("serving", S3) & engine


def test_without_policies_the_same_pod_reaches_all_of_it(outside: Machines) -> None:
    addresses = _all_addresses(outside)
    job = copy.deepcopy(_prepare(outside, "staging"))
    space = job["metadata"]["namespace"]
    outside.cluster.kubectl("delete", "networkpolicies", "--all", f"--namespace={space}")

    assert reached(outside.cluster, job, addresses, first=S3) == set(addresses)
