"""The work pool: where runs are started, and what a job that runs one looks like.

Each type has its job template: ``process.json`` for this machine, ``ecs.json`` for AWS ECS, and
``kubernetes.json``, which is ``k8s/base/worker/job-template.json``, since kustomize hands it to the
cluster. They are the templates of Prefect's workers with this project's defaults; the names in
capitals are filled in when the pool is made, and ``OPERATION_RUN_VARIABLES`` may give the variables
other defaults. A run on this machine starts in the folder of its
worker, wherever that is by then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists

from perennial.errors import OutsideError
from perennial.settings import OperationSettings

TEMPLATES = {
    kind: Path(__file__).with_name(f"{kind}.json") for kind in ("process", "kubernetes", "ecs")
}


def job_template(operation: OperationSettings) -> dict[str, Any]:
    """Return the job template of the work pool, filled in.

    Raises
    ------
    OutsideError
        If the template needs an image and none is set, its file cannot be read, or
        OPERATION_RUN_VARIABLES names a variable that it does not have.
    """
    file = operation.job_template or TEMPLATES[operation.work_pool_type]
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise OutsideError(
            f"The job template {file} (OPERATION_JOB_TEMPLATE) cannot be read: {error.strerror}."
        ) from None
    values = {
        "RUN_IMAGE": operation.run_image,
        "RUN_NAMESPACE": operation.run_namespace,
    }
    for name, value in values.items():
        placeholder = json.dumps(name)
        if value is None and placeholder in text:
            raise OutsideError(
                f"A work pool of type {operation.work_pool_type!r} needs the image of its runs; "
                f"set OPERATION_{name}."
            )
        text = text.replace(placeholder, json.dumps(value))
    template = _parse(text, file)
    _set_defaults(template, operation.run_variables, file)
    return template


def _set_defaults(template: dict[str, Any], defaults: Mapping[str, Any], file: Path) -> None:
    known = template.get("variables", {}).get("properties", {})
    for name, value in defaults.items():
        if name not in known:
            raise OutsideError(
                f"The job template {file} has no variable {name!r}, which OPERATION_RUN_VARIABLES "
                f"gives a value; it has {', '.join(sorted(known))}."
            )
        known[name]["default"] = value


def _parse(text: str, file: Path) -> dict[str, Any]:
    try:
        template: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise OutsideError(f"The job template {file} is no valid JSON: {error}.") from None
    return template


def apply_pool(client: SyncPrefectClient, name: str, operation: OperationSettings) -> None:
    """Create the work pool, or give the one that is there the current job template.

    Raises
    ------
    OutsideError
        If a pool of this name has another type: its worker could not run the jobs.
    """
    template, wanted = job_template(operation), operation.work_pool_type
    # A worker that starts at the same time may create the pool a moment earlier.
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=name, type=wanted, base_job_template=template))
        return
    found = client.read_work_pool(name)
    if found.type != wanted:
        raise OutsideError(
            f"The work pool {name!r} has the type {found.type!r}, not {wanted!r}; "
            "change OPERATION_WORK_POOL_TYPE, or delete the pool in Prefect."
        )
    client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))
