"""The local overlay with our images on a node that enforces its policies."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tests.cluster.dask_operator import OPERATOR, add_operator, operator
from tests.cluster.machines.overlay import Overlay, whole_system
from tests.cluster.machines.probes import listening, reached
from tests.conftest import wait_until
from tools.cluster.machines.alerts import Alerts, prometheus
from tools.cluster.machines.cluster import Machines
from tools.cluster.machines.local import SPACE, WORKER, add_volume
from tools.cluster.machines.machine import PAUSE
from tools.cluster.machines.space import GATEWAY
from tools.manifests.render_job import OPERATION, prepare_job

pytestmark = pytest.mark.timeout(1800)
# Of which four fifths are waited: the container that looks has to do so before they are over.
START_SECONDS = 100
# The exporter asks Prefect every five minutes while nobody reads its console; rules are looked at
# every minute.
_NOTICED_SECONDS = 480
# A monitor that is due while another runs is dropped.
_QUICKLY = """
schedule: {monitor: "* * * * *", retrain: "*/2 * * * *"}
"""


def test_smoke_retrains_updates_under_load_and_rolls_back_without_a_failed_request(
    ours: Machines,
) -> None:
    add_volume(ours, "of-the-smoke-test")

    done = subprocess.run(
        ["k8s/scripts/smoke_k8s.sh"],
        cwd=PROJECT,
        env=os.environ | {"KUBECONFIG": str(ours.cluster.kubeconfig)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert " requests answered, 0 failed" in said


@pytest.fixture(scope="module")
def overlay(ours: Machines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Overlay]:
    """The whole system, which gives up soon on a run that does not begin."""
    add_volume(ours, "of-the-overlay")
    with whole_system(ours, tmp_path_factory.mktemp("reviews")) as found:
        found.kubectl("set", "env", "deployment/worker", f"OPERATION_START_SECONDS={START_SECONDS}")
        found.kubectl("rollout", "status", "deployment/worker", "--timeout=180s")
        yield found


@pytest.mark.parametrize(
    ("variables", "cause"),
    [
        ({"image": "localhost/absent:local"}, "localhost/absent:local"),
        ({"cpu_request": "64"}, "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."),
    ],
    ids=["no image", "no room"],
)
def test_a_run_that_cannot_start_is_crashed_with_the_cause_and_the_next_one_completes(
    overlay: Overlay, variables: dict[str, Any], cause: str
) -> None:
    stuck = overlay.start("retrain/sentiment", **variables)
    wait_until(lambda: overlay.jobs_of(stuck), "the run has a Job", seconds=90, every=0.5)
    behind = overlay.start("retrain/sentiment")

    state = overlay.end_of(stuck, START_SECONDS)

    assert state.is_crashed(), state
    assert cause in (state.message or ""), state
    wait_until(lambda: not overlay.jobs_of(stuck), "its Job is gone", every=0.5)
    assert overlay.end_of(behind).is_completed()


def test_a_run_without_its_secret_is_crashed_with_the_name_of_it(
    overlay: Overlay, tmp_path: Path
) -> None:
    kept = tmp_path / "secret.yaml"
    kept.write_text(overlay.kubectl("get", "secret", "worker", "--output=yaml"))
    overlay.kubectl("delete", "secret", "worker")
    try:
        stuck = overlay.start("retrain/sentiment")
        wait_until(lambda: overlay.jobs_of(stuck), "the run has a Job", seconds=90, every=0.5)
        state = overlay.end_of(stuck, START_SECONDS)
    finally:
        overlay.kubectl("create", f"--filename={kept}")

    assert state.is_crashed(), state
    assert 'CreateContainerConfigError: secret "worker" not found' in (state.message or "")
    wait_until(lambda: not overlay.jobs_of(stuck), "its Job is gone", every=0.5)
    assert overlay.end_of(overlay.start("retrain/sentiment")).is_completed()


@pytest.fixture(scope="module")
def alerts(overlay: Overlay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerts]:
    """Prometheus with our rules."""
    with prometheus(overlay.live, tmp_path_factory.mktemp("prometheus")) as found:
        yield found


def test_prometheus_alerts_of_a_run_that_cannot_start_until_the_next_one_has_completed(
    overlay: Overlay, alerts: Alerts
) -> None:
    wait_until(
        lambda: not alerts.names() & {"FlowFailed"}, "no flow has failed", _NOTICED_SECONDS, every=1
    )

    # Prefect does not start a monitor that has crashed again.
    with overlay.unscheduled("monitor/sentiment"):
        stuck = overlay.start("monitor/sentiment", image="localhost/absent:local")
        assert overlay.end_of(stuck).is_crashed()
        wait_until(lambda: "FlowFailed" in alerts.names(), "the alert", _NOTICED_SECONDS, every=1)

        assert overlay.end_of(overlay.start("monitor/sentiment")).is_completed()
        wait_until(
            lambda: not alerts.names() & {"FlowFailed"},
            "the alert is over",
            _NOTICED_SECONDS,
            every=1,
        )


_ASK = """
import json, sys, urllib.error, urllib.request
body = json.dumps({"inputs": ["a warm film"]}).encode()
request = urllib.request.Request("http://serving/classify", body)
request.add_header("Content-Type", "application/json")
request.add_header("Authorization", "Bearer " + sys.argv[1])
try:
    print(urllib.request.urlopen(request, timeout=10).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_a_key_is_rotated_in_the_secret_and_a_rollout_restart_in_place_of_reloader_brings_it(
    overlay: Overlay,
) -> None:
    def set_keys(*keys: str) -> None:
        hashes = ",".join(hashlib.sha256(key.encode()).hexdigest() for key in keys)
        patch = json.dumps({"stringData": {"SERVING_API_KEY_HASHES": hashes}})
        overlay.kubectl("patch", "secret", "serving", f"--patch={patch}")
        overlay.kubectl("rollout", "restart", "deployment/serving")
        overlay.kubectl("rollout", "status", "deployment/serving", "--timeout=180s")

    def accepted() -> set[str]:
        """Return the keys that are answered."""
        inside = ("exec", "deployment/serving", "--", "python", "-c", _ASK)
        said = {key: overlay.kubectl(*inside, key).strip() for key in ("old", "new")}
        assert set(said.values()) <= {"200", "401"}, said
        return {key for key, status in said.items() if status == "200"}

    try:
        set_keys("old")
        wait_until(lambda: accepted() == {"old"}, "the old key")
        set_keys("old", "new")
        wait_until(lambda: accepted() == {"old", "new"}, "both keys")
        set_keys("new")
        wait_until(lambda: accepted() == {"new"}, "the new key")
    finally:
        none = json.dumps({"data": {"SERVING_API_KEY_HASHES": None}})
        overlay.kubectl("patch", "secret", "serving", f"--patch={none}")
        overlay.kubectl("rollout", "restart", "deployment/serving")
        overlay.kubectl("rollout", "status", "deployment/serving", "--timeout=180s")


def _address(overlay: Overlay, name: str) -> str:
    """Return address and port of a service."""
    path = "{.spec.clusterIP}:{.spec.ports[0].port}"
    return overlay.kubectl("get", "service", name, f"--output=jsonpath={path}").strip()


def test_a_run_reaches_prefect_mongodb_mlflow_and_s3_and_nothing_else(overlay: Overlay) -> None:
    servers = {_address(overlay, name) for name in ("prefect", "mongodb", "mlflow")}
    s3, other = f"{GATEWAY}:443", f"{GATEWAY}:8080"
    node = f"{overlay.live.node.space.address}:10250"
    operation = OPERATION.model_copy(
        update={"run_namespace": SPACE, "run_image": PAUSE,
                "run_variables": {"cpu_request": "50m", "memory_request": "64Mi"}}
    )  # fmt: skip
    job = prepare_job(deployment="sentiment", flow="retrain", operation=operation)

    addresses = [other, node, f"{GATEWAY}:6443", "10.96.0.1:443", *servers, s3]

    with listening(s3, other):
        found = reached(overlay.live.cluster, job, addresses, first=s3)

    assert found == {*servers, s3}


def _run_on_one_node() -> str:
    """Return the run of k8s/engine as it fits on this node, with the overlay's problems."""
    text = (PROJECT / "k8s" / "engine" / "run.yaml").read_text()
    text = text.replace("cpu: 800m", "cpu: 50m").replace("memory: 2560Mi", "memory: 512Mi")
    text = text.replace("image: perennial-worker", f"image: {WORKER}")
    run = YAML(typ="safe").load(text.replace("flows RUN", "flows experiment sentiment"))
    pod = run["spec"]["job"]["spec"]
    (container,) = pod["containers"]
    container["env"].append({"name": "DATA_URI", "value": "/data/snapshots"})
    container["volumeMounts"] = [
        *container["volumeMounts"], {"name": "problems", "mountPath": "/problems"},
    ]  # fmt: skip
    pod["volumes"] = [*pod["volumes"], {"name": "problems", "configMap": {"name": "problems"}}]
    return json.dumps(run)


def test_an_experiment_runs_on_workers_that_the_operator_of_dask_makes_and_removes(
    overlay: Overlay, tmp_path: Path
) -> None:
    if not (OPERATOR / "done").exists():
        pytest.skip("the operator of Dask is not installed: `make test-cluster` installs it")
    if "distributed" not in overlay.kubectl(
        "exec", "deployment/worker", "--container=worker", "--", "sh", "-c", "ls /venv/lib/*/*"
    ):
        pytest.skip(f"{WORKER} has no engine: `make image EXTRAS=dask` builds it")
    cluster = overlay.live.cluster
    add_operator(cluster)
    add_volume(overlay.live, "engine", "engine", "ReadWriteMany")
    node = overlay.live.node.space.name
    overlay.kubectl("label", "node", node, "perennial.dev/nodes=runs", "--overwrite")
    component = tmp_path / "component"
    shutil.copytree(PROJECT / "k8s" / "components" / "engine", component)
    file = component / "kustomization.yaml"
    file.write_text(
        file.read_text().replace("v1alpha1\nkind: Component", "v1beta1\nkind: Kustomization")
    )
    cluster.apply(f"--namespace={SPACE}", "--kustomize", str(component))

    with operator(cluster, tmp_path, SPACE):
        cluster.apply(f"--namespace={SPACE}", "--filename=-", given=_run_on_one_node())
        overlay.kubectl(
            "wait", "--for=jsonpath={.status.jobStatus}=Running", "daskjob/engine", "--timeout=300s"
        )
        done = cluster.kubectl(
            f"--namespace={SPACE}", "logs", "--follow", "engine-runner", "--container=run"
        )
        assert "'experiment sentiment' - Finished in state Completed()" in done.stdout, done.stdout
        said = "--for=jsonpath={.status.jobStatus}=Successful"
        overlay.kubectl("wait", said, "daskjob/engine", "--timeout=60s")
        wait_until(
            lambda: not cluster.get("daskclusters", f"--namespace={SPACE}"), "all is gone", every=1
        )
        overlay.kubectl("delete", "daskjob", "engine", "--timeout=60s")


def test_more_scheduled_runs_than_an_hour_has_and_none_fails(overlay: Overlay) -> None:
    """Four monitors in an hour, and a retraining in a night; here every minute has one."""
    problems = json.loads(overlay.kubectl("get", "configmap", "problems", "--output=json"))
    problems["data"]["sentiment.yaml"] += _QUICKLY
    given = {key: problems[key] for key in ("apiVersion", "kind", "data")}
    given["metadata"] = {"name": "problems", "namespace": SPACE}
    done = overlay.live.cluster.kubectl("replace", "--filename=-", given=json.dumps(given))
    assert done.returncode == 0, done.stderr
    overlay.kubectl("rollout", "restart", "deployment/worker")
    overlay.kubectl("rollout", "status", "deployment/worker", "--timeout=180s")

    def completed() -> bool:
        ended = overlay.ended_by_schedule()
        assert {state for _, state in ended} <= {"Completed", "Cancelled"}, ended
        counts = Counter(flow for flow, state in ended if state == "Completed")
        return counts["monitor"] >= 6 and counts["retrain"] >= 4

    wait_until(completed, "runs of an hour and more", seconds=1200, every=5)
