"""The local overlay on the node of a small machine: everything runs, and a run beside it."""

from __future__ import annotations

import json

from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tests.conftest import wait_until
from tests.manifests import find, render
from tools.cluster.control_plane import Cluster, add_node, node
from tools.manifests.render_job import OPERATION, prepare_job
from tools.manifests.room.amounts import Amount, requested

LOCAL = PROJECT / "k8s" / "overlays" / "local"
SPACE = "perennial-local"
# As a default StorageClass would bring it.
_VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "small"},
    "spec": {
        "capacity": {"storage": "2Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/nowhere"},
    },
}


def _small_node() -> dict[str, object]:
    figures = YAML(typ="safe").load(PROJECT / "tools" / "manifests" / "room" / "figures.yaml")
    small = figures["minikube"]
    room = requested(small) + Amount(pods=small["pods"]) - requested(small["system"])
    amounts = {"cpu": f"{room.cpu}m", "memory": str(room.memory), "pods": str(room.pods)}
    return node("minikube", amounts, {})


def test_the_whole_overlay_a_rollout_and_a_run_find_room_on_two_processors(
    cluster: Cluster, kubelets: None
) -> None:
    add_node(cluster, _small_node())
    cluster.apply("--filename=-", given=json.dumps(_VOLUME))
    cluster.apply("--kustomize", str(LOCAL))
    for name in ("mongodb", "mlflow", "prefect", "serving", "worker", "exporter"):
        done = cluster.kubectl(
            "rollout", "status", f"deployment/{name}", f"--namespace={SPACE}", "--timeout=120s"
        )
        assert done.returncode == 0, done.stderr
    # The first retraining is over when runs come.
    done = cluster.kubectl("delete", "job/first-model", f"--namespace={SPACE}")
    assert done.returncode == 0, done.stderr
    (pool,) = find(render("local"), "Deployment", "worker")["spec"]["template"]["spec"][
        "initContainers"
    ]
    variables = {each["name"]: each.get("value") for each in pool["env"]}
    operation = OPERATION.model_copy(
        update={"run_variables": json.loads(variables["OPERATION_RUN_VARIABLES"])}
    )
    job = prepare_job(deployment="sentiment", flow="retrain", operation=operation)

    assert cluster.kubectl("create", "--filename=-", given=json.dumps(job)).returncode == 0
    restarted = cluster.kubectl("rollout", "restart", "deployment/serving", f"--namespace={SPACE}")
    assert restarted.returncode == 0

    def is_running() -> bool:
        pods = cluster.get("pods", f"--namespace={SPACE}", "--selector=perennial.dev/role=run")
        return [pod["status"]["phase"] for pod in pods] == ["Running"]

    wait_until(is_running, "a run that runs")
    done = cluster.kubectl(
        "rollout", "status", "deployment/serving", f"--namespace={SPACE}", "--timeout=120s"
    )
    assert done.returncode == 0, done.stderr
