"""End the runs on Kubernetes that cannot start: ``python -m deployments.pools.unstarted``.

A pod whose image is missing, that finds no room, or whose secret is not there stays pending for
ever: Kubernetes has no deadline for it that would not end long runs, too. One that runs and does
not reach Prefect may try for hours. Its run would keep all later ones waiting, and its pod the CPU
that it has requested. This watches beside the worker, with the same rights.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import httpx
from kubernetes_asyncio import client as kubernetes
from kubernetes_asyncio import config
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Crashed

from perennial.redaction import redact
from perennial.settings import OperationSettings, get_operation_settings

# Of OPERATION_START_SECONDS: at its end Prefect's own automation speaks, and knows no cause.
_SHARE = 0.8
_INTERVAL_SECONDS = 15.0
_ANSWER_SECONDS = 10.0
_LONGEST_LINE = 500
_RUN = "prefect.io/flow-run-id"
_STARTING = {"ContainerCreating", "PodInitializing"}
_AWAY = (kubernetes.ApiException, aiohttp.ClientError, httpx.HTTPError, PrefectHTTPStatusError,
         TimeoutError)  # fmt: skip
# The probes of k8s/base/worker/deployment.yaml look at it.
LOOKED = "unstarted-looked"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unstarted:
    """A run that has not begun in time.

    Attributes
    ----------
    job : str
        The Job that Prefect's worker made for it.
    run : UUID
        The run.
    cause : str
        What Kubernetes, or the log of its pod, says about it.
    is_running : bool
        Whether its pod runs: then only Prefect knows whether it has begun.
    """

    job: str
    run: UUID
    cause: str
    is_running: bool


async def find(
    api: kubernetes.ApiClient, namespace: str, limit: timedelta
) -> AsyncIterator[Unstarted]:
    """Yield the runs of a namespace that may not have begun within a limit.

    Their pods are pending or missing, or they run, and Prefect has to be asked.
    """
    jobs = await kubernetes.BatchV1Api(api).list_namespaced_job(
        namespace, label_selector=_RUN, _request_timeout=_ANSWER_SECONDS
    )
    core = kubernetes.CoreV1Api(api)
    for job in jobs.items:
        if job.status.conditions or datetime.now(UTC) - job.metadata.creation_timestamp < limit:
            continue
        name, run = job.metadata.name, UUID(job.metadata.labels[_RUN])
        pods = await core.list_namespaced_pod(
            namespace, label_selector=f"job-name={name}", _request_timeout=_ANSWER_SECONDS
        )
        running = [pod for pod in pods.items if pod.status.phase == "Running"]
        if all(pod.status.phase == "Pending" for pod in pods.items):
            cause = next(_causes(pods.items), None)
            if cause is None:
                names = [name, *(pod.metadata.name for pod in pods.items)]
                cause = await _last_warning(core, namespace, names)
            yield Unstarted(name, run, cause, is_running=False)
        # One that is taken away is tried again elsewhere.
        elif running and not any(pod.metadata.deletion_timestamp for pod in running):
            line = await _last_line(core, namespace, running[0].metadata.name)
            cause = f"its pod runs and does not reach Prefect: {line}"
            yield Unstarted(name, run, cause, is_running=True)


def _causes(pods: Sequence[Any]) -> Iterator[str]:
    """Yield why containers wait and why no node takes a pod, as Kubernetes says it."""
    for pod in pods:
        containers = [*(pod.status.init_container_statuses or ()),
                      *(pod.status.container_statuses or ())]  # fmt: skip
        for container in containers:
            waiting = container.state and container.state.waiting
            if waiting and waiting.reason and waiting.reason not in _STARTING:
                yield _sentence(waiting.reason, waiting.message)
        for condition in pod.status.conditions or ():
            if condition.type == "PodScheduled" and condition.status == "False":
                yield _sentence(condition.reason, condition.message)


async def _last_warning(core: kubernetes.CoreV1Api, namespace: str, names: Sequence[str]) -> str:
    """Return the last warning about a Job or its pods: a volume, a quota, a policy."""
    events = await core.list_namespaced_event(
        namespace, field_selector="type=Warning", _request_timeout=_ANSWER_SECONDS
    )
    about = [event for event in events.items if event.involved_object.name in names]
    if not about:
        return "Kubernetes gives no reason"
    last = max(about, key=lambda event: event.metadata.creation_timestamp)
    return _sentence(last.reason, last.message)


async def _last_line(core: kubernetes.CoreV1Api, namespace: str, pod: str) -> str:
    text = await core.read_namespaced_pod_log(
        pod, namespace, tail_lines=1, limit_bytes=_LONGEST_LINE, _request_timeout=_ANSWER_SECONDS
    )
    return redact((text or "").strip()) or "it says nothing"


def _sentence(reason: str, message: str | None) -> str:
    return f"{reason}: {message}" if message else reason


async def end(
    api: kubernetes.ApiClient,
    prefect: PrefectClient,
    namespace: str,
    found: Unstarted,
    message: str,
) -> None:
    """Mark a run as crashed, with a message, and delete its Job.

    One that has begun goes on. One that has ended meanwhile, or is tried again later, keeps its
    state.
    """
    try:
        run = await prefect.read_flow_run(found.run)
        is_pending = run.state is None or run.state.is_pending()
        if found.is_running and not is_pending:
            return
        if is_pending:
            await prefect.set_flow_run_state(found.run, Crashed(message=message))
    except ObjectNotFound:
        _log.info("The run %s of the Job %s is not in Prefect any more.", found.run, found.job)
    try:
        await kubernetes.BatchV1Api(api).delete_namespaced_job(
            found.job, namespace, propagation_policy="Background", _request_timeout=_ANSWER_SECONDS
        )
    except kubernetes.ApiException as error:
        if error.status != httpx.codes.NOT_FOUND:
            raise
    _log.warning("%s The Job %s was deleted.", message, found.job)


async def look(
    api: kubernetes.ApiClient, prefect: PrefectClient, operation: OperationSettings
) -> None:
    """End each run that has not begun in time."""
    limit = timedelta(seconds=operation.start_seconds * _SHARE)
    async for found in find(api, operation.run_namespace, limit):
        message = f"The run did not begin within {limit.total_seconds():.0f} s: {found.cause}"
        await end(api, prefect, operation.run_namespace, found, message)


async def watch(
    api: kubernetes.ApiClient, prefect: PrefectClient, operation: OperationSettings, looked: Path
) -> None:
    """Look for such runs again and again; servers that are away are asked again.

    Parameters
    ----------
    api : ApiClient
        Kubernetes.
    prefect : PrefectClient
        Prefect.
    operation : OperationSettings
        How long a run may take to begin, and where runs are.
    looked : Path
        A file that is touched after each look: the probes of Kubernetes go by its age.
    """
    while True:
        try:
            await look(api, prefect, operation)
        except _AWAY as error:
            _log.warning("Kubernetes or Prefect does not answer: %s", error)
        looked.touch()
        await asyncio.sleep(_INTERVAL_SECONDS)


async def _watch_from_within(operation: OperationSettings) -> None:
    async with kubernetes.ApiClient() as api, get_client() as prefect:
        await watch(api, prefect, operation, Path(tempfile.gettempdir()) / LOOKED)


def main() -> None:
    """Watch the namespace of the runs, from within the cluster."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    # Each look would be a line.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    config.load_incluster_config()
    asyncio.run(_watch_from_within(get_operation_settings()))


if __name__ == "__main__":
    main()
