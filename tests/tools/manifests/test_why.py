"""What is printed when a deployment or a smoke test fails says first what a person needs."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.settings import PROJECT

SCRIPT = PROJECT / "k8s" / "scripts" / "why.py"
Object = dict[str, Any]


def _module() -> Any:
    spec = importlib.util.spec_from_file_location("why", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


why = _module()


def _pod(name: str, phase: str = "Pending", **status: Any) -> Object:
    return {"kind": "Pod", "metadata": {"name": name}, "status": {"phase": phase, **status}}


def _event(
    name: str, reason: str, message: str = "", kind: str = "Warning", **times: Any
) -> Object:
    made = times.pop("made", "2026-01-01T00:00:00Z")
    return {
        "kind": "Event",
        "metadata": {"name": "event", "creationTimestamp": made},
        "involvedObject": {"kind": "Pod", "name": name},
        "reason": reason,
        "message": message,
        "type": kind,
        **times,
    }


UNSCHEDULED = {
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/2 nodes are available: 2 Insufficient cpu.",
        }
    ]
}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (UNSCHEDULED, "no node: Unschedulable: 0/2 nodes are available: 2 Insufficient cpu."),
        (
            {"containerStatuses": [{"name": "serving", "state": {"waiting": {
                "reason": "ErrImagePull", "message": "not found"}}}]},
            "serving waits: ErrImagePull: not found",
        ),
        (
            {"initContainerStatuses": [{"name": "check", "state": {"waiting": {
                "reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1,
                "reason": "Error", "message": "MongoDB refuses the user\n"}}}]},
            "check waits: CrashLoopBackOff; check ended with 1: Error: MongoDB refuses the user",
        ),
        (
            {"containerStatuses": [{"name": "run", "state": {"terminated": {
                "exitCode": 137, "reason": "OOMKilled"}}}]},
            "run ended with 137: OOMKilled",
        ),
        ({}, "Kubernetes gives no reason"),
    ],
)  # fmt: skip
def test_a_pod_that_is_not_ready_is_named_with_what_it_waits_for(
    status: Object, reason: str
) -> None:
    assert list(why.report([_pod("serving-1", **status)])) == [f"pod serving-1 (Pending): {reason}"]


def test_pods_that_are_ready_or_have_done_their_work_are_not_listed() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}

    assert list(why.report([_pod("a", "Running", **ready), _pod("b", "Succeeded")])) == []


def test_an_event_of_the_scheduler_stands_where_it_happened_though_it_has_no_last_timestamp() -> (
    None
):
    """The scheduler writes eventTime, and kubelet lastTimestamp; `sort-by` knows only one."""
    events = [
        _event("b", "BackOff", lastTimestamp="2026-01-01T00:00:30Z", eventTime=None),
        _event("a", "FailedScheduling", lastTimestamp=None, eventTime="2026-01-01T00:00:40.5Z"),
        _event("c", "Unhealthy", lastTimestamp="2026-01-01T00:00:10Z",
               series={"lastObservedTime": "2026-01-01T00:00:50.000000Z"}),
        _event("d", "FailedCreate", made="2026-01-01T00:00:20Z"),
        _event("e", "Pulled", kind="Normal", lastTimestamp="2026-01-01T00:00:45Z"),
    ]  # fmt: skip

    lines = list(why.report(events))

    assert [line.split()[2] for line in lines] == ["d:", "b:", "a:", "c:"]
    assert lines[2].startswith("00:00:40 Pod a: FailedScheduling")


@given(st.lists(st.integers(0, 59), max_size=40))
def test_the_last_warnings_are_kept_whatever_their_number(seconds: list[int]) -> None:
    events = [
        _event(f"pod-{second:02}", "BackOff", eventTime=f"2026-01-01T00:00:{second:02}Z")
        for second in seconds
    ]

    lines = list(why.report(events))

    names = [line.split()[2].strip(":") for line in lines]
    assert names == [f"pod-{second:02}" for second in sorted(seconds)[-why.WARNINGS :]]


def test_it_reads_what_kubectl_prints(tmp_path: Path) -> None:
    content = json.dumps({"kind": "List", "items": [_pod("serving-1", **UNSCHEDULED)]})
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        input=content,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert "2 Insufficient cpu" in done.stdout


@pytest.mark.parametrize("script", ["deploy.sh", "smoke_k8s.sh"])
def test_what_fails_on_a_cluster_says_why(script: str) -> None:
    assert 'why "$space"' in (SCRIPT.parent / script).read_text()
