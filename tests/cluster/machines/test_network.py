"""Network policies are enforced: a run reaches what it needs, and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.cluster.machines.probes import address_of_this_machine, listening, reached
from tests.manifests import render
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


def test_without_policies_the_same_pod_reaches_all_of_it(outside: Machines) -> None:
    addresses = _all_addresses(outside)
    job = copy.deepcopy(_prepare(outside, "staging"))
    space = job["metadata"]["namespace"]
    outside.cluster.kubectl("delete", "networkpolicies", "--all", f"--namespace={space}")

    assert reached(outside.cluster, job, addresses, first=S3) == set(addresses)
