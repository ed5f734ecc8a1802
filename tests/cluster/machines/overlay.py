"""The local overlay on a node, and the runs of its Prefect."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State

from tests.conftest import wait_until
from tools.cluster.machines.cluster import Machines
from tools.cluster.machines.local import SPACE, bring_up, do, take_down
from tools.manifests.kubectl import kubectl


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

    def jobs_of(self, run: UUID) -> list[dict[str, Any]]:
        """Return the Jobs of a run, of which there is one at most."""
        chosen = f"--selector=prefect.io/flow-run-id={run}"
        return self.live.cluster.get("jobs", f"--namespace={SPACE}", chosen)


@contextmanager
def whole_system(live: Machines, folder: Path) -> Iterator[Overlay]:
    """Bring the overlay up, and remove it."""
    try:
        bring_up(live, folder)
        with (
            _forwarded(live, "service/prefect", 4200) as port,
            SyncPrefectClient(api=f"http://127.0.0.1:{port}/api") as prefect,
        ):
            yield Overlay(live, prefect)
    finally:
        take_down(live)


@contextmanager
def _forwarded(live: Machines, target: str, port: int) -> Iterator[int]:
    """Forward a port of this machine to one of a pod."""
    process = subprocess.Popen(
        [kubectl(), f"--kubeconfig={live.cluster.kubeconfig}", f"--namespace={SPACE}",
         "port-forward", target, f":{port}"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found is not None, line
        yield int(found[1])
    finally:
        process.terminate()
        process.wait(30)
