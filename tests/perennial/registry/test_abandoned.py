"""Runs in MLflow whose processes were killed do not count as running forever."""

from __future__ import annotations

from mlflow import MlflowClient

from perennial.registry.client import open_registry
from perennial.settings import Settings


def _start(
    client: MlflowClient, experiment: str, kind: str, parent: str | None = None, end: str = ""
) -> str:
    """Leave a run as a killed process does; with `end`, as one that has said how it ended."""
    tags = {"perennial.kind": kind} | ({"mlflow.parentRunId": parent} if parent else {})
    run_id = str(client.create_run(experiment, tags=tags).info.run_id)
    if end:
        client.set_terminated(run_id, end)
    return run_id


def test_killed_runs_of_a_kind_are_ended_with_their_candidates_and_nothing_else(
    machine: Settings,
) -> None:
    registry = open_registry(machine)
    client = MlflowClient(f"sqlite:///{machine.data_dir / 'mlflow' / 'mlflow.db'}")
    reviews, flowers = (client.create_experiment(name) for name in ("reviews", "flowers"))
    killed = _start(client, reviews, "retrain")
    below = _start(client, reviews, "candidate", parent=killed)
    finished = _start(client, reviews, "candidate", parent=killed, end="FINISHED")
    failed = _start(client, reviews, "retrain", end="FAILED")
    explores = _start(client, reviews, "experiment")
    tries = _start(client, reviews, "candidate", parent=explores)
    elsewhere = _start(client, flowers, "retrain")

    assert registry.end_abandoned("reviews", "retrain") == [below, killed]
    assert registry.end_abandoned("reviews", "retrain") == []

    states = {
        killed: "KILLED",
        below: "KILLED",
        finished: "FINISHED",
        failed: "FAILED",
        explores: "RUNNING",
        tries: "RUNNING",
        elsewhere: "RUNNING",
    }
    assert {run: client.get_run(run).info.status for run in states} == states
    assert client.get_run(killed).info.end_time is not None
