"""The local overlay on a node, and the runs of its Prefect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, State

from tests.conftest import wait_until
from tools.cluster.machines.cluster import Machines
from tools.cluster.machines.local import SPACE, bring_up, do, take_down
from tools.cluster.machines.space import GATEWAY


@dataclass(frozen=True)
class Overlay:
    """The local overlay, with a model in Production."""

    live: Machines
    prefect: SyncPrefectClient

    def kubectl(self, *arguments: str) -> str:
        """Run `kubectl` in the namespace of the overlay; return what it printed."""
        return do(self.live.cluster, *arguments)

    def start(self, deployment: str, **variables: Any) -> UUID:
        """Have a run of a deployment started, with variables of its Job; return its id."""
        found = self.prefect.read_deployment_by_name(deployment)
        return self.prefect.create_flow_run_from_deployment(found.id, job_variables=variables).id

    @contextmanager
    def unscheduled(self, deployment: str) -> Iterator[None]:
        """Let no run of a deployment be due meanwhile."""
        found = self.prefect.read_deployment_by_name(deployment)
        self.prefect.pause_deployment(found.id)
        try:
            yield
        finally:
            self.prefect.resume_deployment(found.id)

    def state(self, run: UUID) -> State[Any]:
        """Return the state of a run."""
        found = self.prefect.read_flow_run(run).state
        assert found is not None
        return found

    def end_of(self, run: UUID, seconds: float = 300.0) -> State[Any]:
        """Wait until a run has ended; return its last state."""

        def ended() -> State[Any] | None:
            state = self.state(run)
            return state if state.is_final() else None

        state: State[Any] = wait_until(ended, "the run has ended", seconds=seconds, every=0.5)
        return state

    def ended_by_schedule(self) -> list[tuple[str, str]]:
        """Return the flow and the last state of each run that a schedule has started."""
        flows = {each.id: each.name for each in self.prefect.read_flows()}
        ended = FlowRunFilterStateType(any_=list(TERMINAL_STATES))
        runs = self.prefect.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=ended)), limit=200
        )
        return [
            (flows[run.flow_id], str(run.state.name))
            for run in runs
            if run.auto_scheduled and run.state is not None
        ]

    def jobs_of(self, run: UUID) -> list[dict[str, Any]]:
        """Return the Jobs of a run, of which there is one at most."""
        chosen = f"--selector=prefect.io/flow-run-id={run}"
        return self.live.cluster.get("jobs", f"--namespace={SPACE}", chosen)


@contextmanager
def whole_system(live: Machines, folder: Path) -> Iterator[Overlay]:
    """Bring the overlay up, and remove it."""
    try:
        bring_up(live, folder)
        with SyncPrefectClient(api=_address_of_prefect(live)) as prefect:
            yield Overlay(live, prefect)
    finally:
        take_down(live)


def _address_of_prefect(live: Machines) -> str:
    """Let this machine reach Prefect; return where. A forwarded port is lost with a broken pipe."""
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "tests", "namespace": SPACE},
        "spec": {
            "podSelector": {"matchLabels": {"perennial.dev/role": "prefect"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"ipBlock": {"cidr": f"{GATEWAY}/32"}}]}],
        },
    }
    live.cluster.apply("--filename=-", given=json.dumps(policy))
    chosen = "--selector=perennial.dev/role=prefect"
    (pod,) = live.cluster.get("pods", f"--namespace={SPACE}", chosen)
    return f"http://{pod['status']['podIP']}:4200/api"
