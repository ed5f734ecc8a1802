"""Print the Job that Prefect's worker makes of the job template, for a run of one deployment.

python -m tools.manifests.render_job

It is prepared by the worker's own code, which adds labels, variables and a command of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import Flow, FlowRun, WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from deployments.pools import job_template
from perennial.settings import OperationSettings

_API = "http://prefect:4200/api"
OPERATION = OperationSettings(
    work_pool_type="kubernetes",
    run_image="perennial-worker:local",
    run_namespace="perennial-local",
)
_ID = UUID(int=1)


def prepare_job(
    *, deployment: str, flow: str, operation: OperationSettings = OPERATION
) -> dict[str, Any]:
    """Return the Job of a run.

    Parameters
    ----------
    deployment, flow : str
        The names of the deployment, which is the problem's, and of the flow.
    operation : OperationSettings
        What the job template is filled in with.
    """
    # The Job gets the settings of the worker that starts it.
    with temporary_settings({PREFECT_API_URL: _API}):
        configuration = asyncio.run(_configure(operation))
        configuration.prepare_for_flow_run(
            FlowRun(id=_ID, name=f"{flow} {deployment}", flow_id=_ID, deployment_id=_ID),
            DeploymentResponse(id=_ID, name=deployment, flow_id=_ID, labels={}),
            Flow(id=_ID, name=flow, labels={}),
            WorkPool(id=_ID, name="perennial", type="kubernetes", default_queue_id=_ID),
            worker_name="worker",
        )
    manifest: dict[str, Any] = configuration.job_manifest
    return manifest


async def _configure(operation: OperationSettings) -> KubernetesWorkerJobConfiguration:
    # The template names neither blocks nor variables of the server: the client is never used.
    return await KubernetesWorkerJobConfiguration.from_template_and_values(
        job_template(operation), values={}, client=PrefectClient(_API)
    )


def main() -> None:
    """Print the Job as JSON, which is YAML, too."""
    json.dump(prepare_job(deployment="sentiment", flow="retrain"), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
