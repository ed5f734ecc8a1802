"""What `make chaos` looks at: which pods Prometheus is told of, and when every part is ready."""

from __future__ import annotations

from typing import Any

import pytest

from tools.cluster.machines.alerts import targets
from tools.cluster.machines.chaos import Outcome, is_whole, to_table
from tools.cluster.machines.faults import FAULTS, TOO_LITTLE, unfinished


def pod(name: str, role: str, phase: str = "Running", address: str | None = "10.0.0.7") -> Any:
    ports = [{"name": "http", "containerPort": 3000}, {"name": "metrics", "containerPort": 3001}]
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": {"perennial.dev/role": role}},
        "spec": {"containers": [{"ports": ports}, {}]},
        "status": {"phase": phase} | ({"podIP": address} if address else {}),
    }


def test_prometheus_is_told_of_the_running_pods_of_a_role_by_their_port_for_metrics() -> None:
    pods = [
        pod("one", "serving"),
        pod("other role", "exporter"),
        pod("gone", "serving", phase="Failed"),
        pod("without an address", "serving", address=None),
    ]

    assert list(targets(pods, "serving")) == [
        {"targets": ["10.0.0.7:3001"], "labels": {"namespace": "shop", "pod": "one"}}
    ]


@pytest.mark.parametrize(
    ("status", "whole"),
    [
        ({"observedGeneration": 3, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2}, True),
        ({"observedGeneration": 3, "replicas": 2, "readyReplicas": 1, "updatedReplicas": 2}, False),
        ({"observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2}, False),
        ({"observedGeneration": 3, "replicas": 3, "readyReplicas": 2, "updatedReplicas": 2}, False),
        ({"observedGeneration": 3}, False),
    ],
    ids=["ready", "one is not ready", "not looked at yet", "an old pod is there", "no pod"],
)
def test_a_deployment_is_whole_when_all_its_pods_are_ready_and_no_other_is_there(
    status: dict[str, int], whole: bool
) -> None:
    deployment = {"metadata": {"generation": 3}, "spec": {"replicas": 2}, "status": status}

    assert is_whole(deployment) is whole


def job(name: str, minute: int, memory: str, *, has_completed: bool) -> Any:
    limits = {"resources": {"limits": {"memory": memory}}}
    return {
        "metadata": {"name": name, "creationTimestamp": f"2026-11-29T12:{minute:02}:00Z"},
        "spec": {"template": {"spec": {"containers": [limits]}}},
        "status": {"succeeded": 1} if has_completed else {"active": 1},
    }


def test_a_starved_run_is_recovered_from_when_the_next_one_has_completed() -> None:
    # Its Job completes, though its run has not.
    starved = job("starved", 1, TOO_LITTLE, has_completed=True)

    assert unfinished([job("before", 0, "2Gi", has_completed=True), starved]) == ["starved"]
    assert unfinished([job("next", 2, "2Gi", has_completed=False), starved]) == ["next"]
    assert unfinished([job("next", 2, "2Gi", has_completed=True), starved]) == []


def test_every_fault_has_a_name_of_its_own_and_a_row() -> None:
    outcomes = {fault.name: Outcome(1_000, 2, 8.4, {"TargetDown"}) for fault in FAULTS}

    assert len(outcomes) == len(FAULTS)
    assert to_table(outcomes).row_count == len(FAULTS)
