"""Apply: give Prefect the pool, blocks, variables, deployments and automations of this project.

python -m deployments.apply

It may be run again at any time: what is as it should be stays, what changed is changed, and what
this project made for a problem that is gone is removed. It runs at `make up`, when the system
starts in containers, and on Kubernetes whenever a new version of the worker is rolled out.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from httpx import TransportError
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from prefect.utilities.callables import parameter_schema
from prefect.variables import Variable

from deployments.automations import OURS, apply_automations, automations
from deployments.blocks import apply_blocks, apply_notifications
from deployments.plan import Planned, plan_problems
from deployments.pools import apply_pool
from perennial.config.loader import load_problems
from perennial.errors import OutsideError
from perennial.redaction import redact, split_credentials
from perennial.settings import OperationSettings, Settings, get_operation_settings, get_settings
from tasks.orchestration.cli import descriptions
from tasks.orchestration.retries import EXPECTED

_RETRAIN = "retrain"
# A run begins in the folder in which its worker runs. Without a step Prefect copies this folder
# for each run, with its libraries and everything in .data.
PULL_STEPS = [{"prefect.deployments.steps.set_working_directory": {"directory": "."}}]
# The most that the server lists at once.
_PER_PAGE = 200
_log = logging.getLogger(__name__)


def apply(settings: Settings, operation: OperationSettings) -> Mapping[str, UUID]:
    """Make Prefect's server at ``PREFECT_API_URL`` have everything of this project.

    A problem whose file cannot be used is named in a warning; what the server has for it stays.

    Returns
    -------
    mapping of str to UUID
        Name of a deployment, such as ``retrain/sentiment`` -> its id.

    Raises
    ------
    OutsideError
        If no server is configured, or a flow, definition or work pool does not fit.
    """
    if not get_current_settings().api.url:
        raise OutsideError(
            "Deployments need a Prefect server; set PREFECT_API_URL, or start all with `make up`."
        )
    loaded = load_problems(settings.problems_dir)
    for warning in loaded.warnings():
        _log.warning("%s", warning)
    planned = plan_problems(loaded.problems, settings)
    with get_client(sync_client=True) as client:
        for pool in sorted({one.definition.work_pool.name for one in planned}):
            apply_pool(client, pool, operation)
        apply_blocks(settings, operation)
        _apply_variables(settings, {one.problem for one in planned} | loaded.errors.keys())
        ids = {one.name: _apply_deployment(client, one) for one in planned}
        untouched = _deployments_of(client, loaded.errors)
        _remove_others(client, {*ids.values(), *untouched.values()})
        retrain = _retrain_of(ids | untouched)
        apply_automations(client, automations(retrain, operation, apply_notifications(operation)))
    return ids


def _deployments_of(client: SyncPrefectClient, problems: Collection[str]) -> dict[str, UUID]:
    """Return the deployments of some problems that the server has: name -> id."""
    if not problems:
        return {}
    flows = {flow.id: flow.name for flow in client.read_flows()}
    return {
        f"{flows[deployment.flow_id]}/{deployment.name}": deployment.id
        for deployment in _ours(client)
        if deployment.name in problems
    }


def _retrain_of(deployments: Mapping[str, UUID]) -> dict[str, UUID]:
    """Return the deployment of the flow `retrain` of each problem."""
    start = f"{_RETRAIN}/"
    return {
        name.removeprefix(start): deployment
        for name, deployment in deployments.items()
        if name.startswith(start)
    }


def _apply_deployment(client: SyncPrefectClient, planned: Planned) -> UUID:
    flow, definition = planned.load(), planned.definition
    limit = definition.concurrency_limit
    earlier = _find(client, planned)
    is_paused = earlier is not None and earlier.paused
    schedules = []
    if planned.cron is not None:
        cron = CronSchedule(cron=planned.cron, timezone=planned.timezone)
        is_active = earlier is None or all(each.active for each in earlier.schedules)
        schedules.append(
            DeploymentScheduleCreate(schedule=cron, active=is_active, slug=planned.flow)
        )
        if is_paused or not is_active:
            _log.warning(
                "The schedule of %s is paused in Prefect, and stays so until it is resumed there.",
                planned.name,
            )
    return client.create_deployment(
        flow_id=client.create_flow_from_name(flow.name),
        name=planned.problem,
        description=definition.description,
        tags=list(definition.tags),
        entrypoint=definition.entrypoint,
        path=".",
        pull_steps=PULL_STEPS,
        work_pool_name=definition.work_pool.name,
        job_variables=definition.work_pool.job_variables,
        parameters={"problem": planned.problem},
        parameter_openapi_schema=_form(planned, flow),
        enforce_parameter_schema=definition.enforce_parameter_schema,
        schedules=schedules,
        paused=is_paused,
        concurrency_limit=limit.limit,
        concurrency_options=ConcurrencyOptions(
            collision_strategy=ConcurrencyLimitStrategy(limit.collision_strategy)
        ),
    )


def _find(client: SyncPrefectClient, planned: Planned) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(planned.name)
    except ObjectNotFound:
        return None


def _form(planned: Planned, flow: Flow[..., Any]) -> dict[str, Any]:
    """Return the schema of the form by which a person starts a run, with the docstring's texts.

    The problem can be no other than the deployment's: one run of each at a time is a promise.
    """
    form = parameter_schema(flow).model_dump_for_openapi()
    texts = descriptions(flow.fn)
    for name, field in form["properties"].items():
        field["description"] = texts.get(name, "")
    form["properties"]["problem"] |= {"enum": [planned.problem], "default": planned.problem}
    return form


def _remove_others(client: SyncPrefectClient, ours: set[UUID]) -> None:
    """Remove deployments of this project that have no problem or no flow any more."""
    for deployment in _ours(client):
        if deployment.id not in ours:
            client.delete_deployment(deployment.id)


def _ours(client: SyncPrefectClient) -> Sequence[DeploymentResponse]:
    """Return the deployments of this project."""
    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS]))
    found: list[DeploymentResponse] = []
    while page := client.read_deployments(
        deployment_filter=tagged, limit=_PER_PAGE, offset=len(found)
    ):
        found += page
    return found


def _apply_variables(settings: Settings, problems: Collection[str]) -> None:
    """Tell people's own flows and automations which problems there are, and where MLflow is."""
    Variable.set("perennial_problems", sorted(problems), tags=[OURS], overwrite=True)
    address = settings.mlflow_ui_url or settings.mlflow_tracking_uri
    if address is not None:
        address = split_credentials(address).uri
        Variable.set("perennial_mlflow", address, tags=[OURS], overwrite=True)


def main() -> None:
    """Apply, and say what is there now; a failure that people mend is one sentence."""
    logging.basicConfig(format="%(message)s")
    try:
        names = apply(get_settings(), get_operation_settings())
    except EXPECTED as error:
        sys.exit(f"apply failed. {error}")
    except (PrefectHTTPStatusError, TransportError) as error:
        reason = redact(str(error).splitlines()[0])
        sys.exit(f"apply failed. Prefect's server (PREFECT_API_URL) did not do it: {reason}")
    if names:
        sys.stdout.write(f"Prefect has the deployments {', '.join(sorted(names))}.\n")
    else:
        sys.stdout.write("No problem has a file that can be used, so nothing was deployed.\n")


if __name__ == "__main__":
    main()
