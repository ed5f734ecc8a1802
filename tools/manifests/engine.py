"""Write what the operator of Dask makes of a run: ``python -m tools.manifests.engine FOLDER``.

It runs where the operator is installed (requirements-operator.txt), whose own code makes them.
Beside them it writes the definitions of what we write as JSON schemas, which know no other field.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask_kubernetes
import yaml
from dask_kubernetes.operator.controller import controller

_FOLDER = Path("k8s") / "engine"
_NAMESPACE = "perennial-production"
_DEFINITIONS = Path("operator") / "deployment" / "helm" / "dask-kubernetes-operator" / "crds"
# Our file -> the definition of what is in it.
_FILES = {"run.yaml": "daskjob.yaml", "workers.yaml": "daskautoscaler.yaml"}
_IMAGE, _DEPLOYED = "perennial-worker", f"registry.example.com/perennial-worker@sha256:{'0' * 64}"
Manifest = dict[str, Any]


def made(job: Manifest, workers: int) -> list[Manifest]:
    """Return what the operator makes of a job: scheduler, service, workers and the run.

    Parameters
    ----------
    job : dict
        A DaskJob.
    workers : int
        How many.
    """
    name, spec = job["metadata"]["name"], job["spec"]
    cluster, run = spec["cluster"]["spec"], spec["job"]
    scheduler, worker = cluster["scheduler"], cluster["worker"]
    service = controller.build_scheduler_service_spec(name, scheduler["service"], *_own(scheduler))
    return [
        controller.build_scheduler_deployment_spec(name, scheduler["spec"], *_own(scheduler)),
        service,
        *(
            controller.build_worker_deployment_spec(
                f"{name}-default", _NAMESPACE, name, str(number), worker["spec"], *_own(worker)
            )
            for number in range(workers)
        ),
        controller.build_job_pod_spec(name, name, _NAMESPACE, run["spec"], *_own(run)),
    ]


def _own(part: Manifest) -> tuple[dict[str, str], dict[str, str]]:
    """Return annotations and labels of a part."""
    about = part["metadata"]
    return about.get("annotations", {}), about["labels"]


def strict(schema: Any) -> Any:
    """Return a schema of a definition as one of JSON that allows no field besides its own."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        found["type"] = ["integer", "string"]
    has_fields = isinstance(schema.get("properties"), Mapping) and schema.get("type") == "object"
    if has_fields and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def definition(file: str) -> Path:
    """Return the file of a definition of the operator."""
    return Path(dask_kubernetes.__file__).parent / _DEFINITIONS / file


def _schema(file: str) -> Manifest:
    (version,) = yaml.safe_load(definition(file).read_text())["spec"]["versions"]
    found: Manifest = strict(version["schema"]["openAPIV3Schema"])
    # Which every object has.
    found["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
    return found


def main() -> None:
    """Write engine-run.yaml, and a schema for each of our files."""
    folder = Path(sys.argv[1])
    # As k8s/scripts/engine.sh writes the image that the worker has.
    text = (_FOLDER / "run.yaml").read_text().replace(f"image: {_IMAGE}", f"image: {_DEPLOYED}")
    job = yaml.safe_load(text)
    most = yaml.safe_load((_FOLDER / "workers.yaml").read_text())["spec"]["maximum"]
    written = [{**each, "metadata": {**each["metadata"], "namespace": _NAMESPACE}}
               for each in made(job, most)]  # fmt: skip
    (folder / "engine-run.yaml").write_text(yaml.safe_dump_all(written))
    for ours, theirs in _FILES.items():
        (folder / f"{ours}.schema.json").write_text(json.dumps(_schema(theirs)))


if __name__ == "__main__":
    main()
