"""Approvals in deployments of a real Prefect server: who asks has ended when a person answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State

from deployments.apply import apply
from perennial.config.problem import Problem
from perennial.registry.client import Registry
from perennial.settings import PROJECT, OperationSettings, Settings
from tests.conftest import wait_until
from tests.prefect_server import tidied_client

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

Run = Callable[..., "State[Any]"]
ASKED = {"promotion": "approve"}
# It is over before anybody can answer.
AT_ONCE = ASKED | {"answer_within": "PT0.001S"}


@pytest.fixture
def client(prefect_api: str) -> Iterator[SyncPrefectClient]:
    with tidied_client() as client:
        yield client


@pytest.fixture
def run(
    client: SyncPrefectClient,
    prefect_api: str,
    machine: Settings,
    collection: Any,
    documents: Callable[..., list[dict[str, Any]]],
) -> Run:
    """Return a function that runs a deployment to its end, in a process as a worker starts it."""
    collection.insert_many(documents(300))
    environment = os.environ | {"PREFECT_API_URL": prefect_api}

    def call(flow: str, **parameters: Any) -> State[Any]:
        apply(machine, OperationSettings())
        deployment = client.read_deployment_by_name(f"{flow}/reviews")
        made: FlowRun = client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "flow-run", "execute", str(made.id)],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        state = client.read_flow_run(made.id).state
        assert state is not None, done.stdout + done.stderr
        # It begins in the folder of the code: a copy would hold the libraries and all data.
        assert "Downloading flow code" not in done.stderr
        assert state.is_final(), done.stdout + done.stderr
        return state

    return call


def report(client: SyncPrefectClient, key: str) -> str:
    """Return the newest report of a key."""
    wanted = {"artifacts": {"key": {"any_": [key]}}}
    (found,) = client._client.post("/artifacts/latest/filter", json=wanted).json()
    return str(found["data"])


def taken_slots(client: SyncPrefectClient) -> list[str]:
    limits = client._client.post("/v2/concurrency_limits/filter", json={"limit": 200}).json()
    return [limit["name"] for limit in limits if limit["active_slots"]]


def test_a_retraining_completes_while_its_question_waits_and_an_approval_promotes(
    run: Run,
    client: SyncPrefectClient,
    write_problem: Callable[..., Problem],
    registry: Registry,
) -> None:
    write_problem(gates=ASKED)

    asked = run("retrain")

    # Nothing of Prefect's holds the question: neither a paused run nor a lease that could end.
    assert asked.is_completed(), asked.message
    assert wait_until(lambda: not taken_slots(client), "all slots are given back")
    assert [version.version for version in registry.waiting("reviews")] == [1]
    assert "reviews: waiting, version 1 has passed every gate" in report(client, "retrain-reviews")

    nobody = run("approve", version=1, why="I tried it")
    assert nobody.is_failed()
    assert "'by' is empty; say who decides." in str(nobody.message)

    yes = run("approve", version=1, why="I tried it", by="on call")
    production = registry.production("reviews")
    assert yes.is_completed(), yes.message
    assert production is not None
    assert (production.version, production.answer) == (1, "yes, by on call: I tried it")
    assert registry.history("reviews")[-1].by == "on call"
    assert "promoted, Production is now version 1" in report(client, "approve-reviews")


def test_a_refusal_and_silence_keep_the_challenger(
    run: Run,
    client: SyncPrefectClient,
    write_problem: Callable[..., Problem],
    registry: Registry,
) -> None:
    write_problem(gates=ASKED)
    assert run("retrain").is_completed()
    refused = run("approve", version=1, approve=False, why="not yet", by="on call")
    assert refused.is_completed(), refused.message
    assert "no, by on call: not yet" in report(client, "approve-reviews")

    write_problem(gates=AT_ONCE)
    assert run("retrain").is_completed()
    late = run("approve", version=2, why="I tried it", by="on call")

    assert late.is_failed()
    assert "no, by nobody: no answer until" in str(late.message)
    assert registry.production("reviews") is None
    assert [registry.version("reviews", number).verdict for number in (1, 2)] == ["kept", "kept"]
