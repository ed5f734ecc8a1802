"""The images, as Kubernetes runs them: read-only, without rights, within their memory.

``make test-image`` builds them first. They are no part of ``make test-e2e``: a build takes minutes,
needs buildah, podman and root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from artifact import Golden
from modeling.candidates import assemble, build_classifier, build_counter, build_normalizer
from modeling.problem import Problem
from settings import Settings
from tests.conftest import free_port, wait_until

_FOLDER = Path(__file__).parent / "containers"
_SERVING, _WORKER = "localhost/perennial-serving:local", "localhost/perennial-worker:local"
_USER = 10001
_START_SECONDS = 120.0
_MOST_MEGABYTES = 700
_LIMITS = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
_MEMORY = ("--memory=512m", "--memory-swap=512m")
_GOOD, _BAD = "a warm , funny and touching film", "a dull , boring and stupid mess"

pytestmark = [pytest.mark.container, pytest.mark.e2e]


@pytest.fixture(scope="session", autouse=True)
def images() -> None:
    """Skip where there is nothing to run the images with, or no images."""
    for tool in ("podman", "runc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed; see CONTRIBUTING.md")
    for image in (_SERVING, _WORKER):
        if _podman("image", "exists", image, check=False).returncode:
            pytest.skip(f"{image} is not built; run `make image`")


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str, str], None]:
    """Return a function that shows a figure beside the name of the test."""

    def show(what: str, figure: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{what}: {figure}")

    return show


def _podman(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CONTAINERS_CONF": str(_FOLDER / "containers.conf")}
    return subprocess.run(
        ["podman", *arguments],
        capture_output=True,
        text=True,
        check=check,
        timeout=300,
        env=environment,
    )


@pytest.fixture
def data(machine: Settings, problem: Problem, snippets: list[tuple[str, int]]) -> Path:
    """A data folder with a model in Production, which belongs to the user of the image."""
    import registry

    texts, labels = zip(*snippets[:400], strict=True)
    candidate = problem.candidates["tfidf-logistic"]
    normalizer, counter = build_normalizer(problem, candidate), build_counter(candidate.features)
    matrix = counter.fit_transform(normalizer.transform(list(texts)))
    names = np.array([problem.classes[label] for label in labels])
    classifier = build_classifier(problem, "tfidf-logistic").fit(matrix, names)
    model = assemble(normalizer, counter, classifier)
    tracking = registry.connect(machine)
    golden = Golden(
        inputs=(_GOOD, _BAD),
        classes=tuple(model.classes_),
        probabilities=model.predict_proba([_GOOD, _BAD]).tolist(),
    )
    with tracking.run(problem.name, "retrain") as run_id:
        version = tracking.register(problem.name, run_id, model, golden, tags={})
    tracking.promote(version, expected=None)
    for path in (machine.data_dir, *machine.data_dir.rglob("*")):
        os.chown(path, _USER, _USER)
    return machine.data_dir


@pytest.fixture
def run(data: Path) -> Iterator[Callable[..., tuple[str, httpx.Client]]]:
    """Return a function that starts the serving image and a client of it."""
    started: list[str] = []

    def start(*options: str) -> tuple[str, httpx.Client]:
        port = free_port()
        mounts = [f"--volume={data}:{data}", f"--env=DATA_DIR={data}", "--tmpfs=/tmp:size=64m"]
        publish = f"--publish=127.0.0.1:{port}:3000"
        done = _podman(
            "run", "--detach", "--no-healthcheck", *_LIMITS, *_MEMORY, *mounts, publish, *options,
            _SERVING,
        )  # fmt: skip
        started.append(done.stdout.strip())
        return started[-1], httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5)

    yield start
    for container in started:
        _podman("rm", "--force", "--time", "5", container, check=False)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_the_service_classifies_read_only_without_rights_in_512_mib(
    run: Callable[..., tuple[str, httpx.Client]], report: Callable[[str, str], None]
) -> None:
    begun = time.monotonic()
    container, client = run()
    wait_until(lambda: _is_ready(client), "the container is ready", _START_SECONDS)
    seconds = time.monotonic() - begun

    answer = client.post("/classify", json={"inputs": [_GOOD, _BAD]})

    assert answer.status_code == 200
    assert [found["label"] for found in answer.json()["predictions"]] == ["positive", "negative"]
    state = json.loads(_podman("inspect", container).stdout)[0]
    assert not state["State"]["OOMKilled"]
    assert _podman("exec", container, "id", "-u").stdout.strip() == str(_USER)
    assert _podman("exec", container, "touch", "/app/new", check=False).returncode
    report("the service is ready after", f"{seconds:.1f} s")


def test_a_container_that_starts_again_serves_what_it_served_last(
    run: Callable[..., tuple[str, httpx.Client]],
) -> None:
    container, client = run()
    wait_until(lambda: _is_ready(client), "the container is ready", _START_SECONDS)
    _podman("stop", "--time", "20", container)

    _, again = run("--env=MLFLOW_TRACKING_URI=http://127.0.0.1:9")
    wait_until(lambda: _is_ready(again), "it serves without the registry", _START_SECONDS)

    assert again.get("/readyz").json()["models"][0]["origin"] == "cache"


def test_the_image_of_the_service_is_small_and_holds_no_way_to_build(
    report: Callable[[str, str], None],
) -> None:
    sizes = {
        image: int(_podman("image", "inspect", "--format", "{{.Size}}", image).stdout) / 1e6
        for image in (_SERVING, _WORKER)
    }
    for image, size in sizes.items():
        report(image, f"{size:.0f} MB")
    assert sizes[_SERVING] <= _MOST_MEGABYTES
    tools = _podman("run", "--rm", _SERVING, "sh", "-c", "command -v gcc cc make git", check=False)
    assert not tools.stdout
    for library in ("prefect", "deltalake", "matplotlib"):
        done = _podman("run", "--rm", _SERVING, "python", "-c", f"import {library}", check=False)
        assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("image", [_SERVING, _WORKER])
def test_an_image_says_what_it_is_and_runs_as_nobody(image: str) -> None:
    described = json.loads(_podman("image", "inspect", image).stdout)[0]

    assert described["User"] == f"{_USER}:{_USER}"
    assert described["Labels"]["org.opencontainers.image.revision"]
    assert described["Labels"]["org.opencontainers.image.title"] == "Perennial"
    assert described["Healthcheck"]
    environment = " ".join(described["Config"]["Env"])
    assert "BENTOML_CONTAINERIZED" not in environment
    for word in ("TOKEN", "PASSWORD", "SECRET", "KEY="):
        assert word not in environment


def test_the_worker_runs_flows_read_only_without_rights() -> None:
    done = _podman(
        "run", "--rm", *_LIMITS, "--tmpfs=/tmp:size=256m",
        _WORKER, "python", "-m", "flows", "retrain", "--help",
    )  # fmt: skip

    assert "python -m flows retrain" in done.stdout


def test_a_wrong_password_stops_the_new_container_with_one_sentence() -> None:
    done = _podman(
        "run", "--rm", *_LIMITS, "--tmpfs=/tmp:size=64m", "--env=MONGODB_URI=ftp://somewhere",
        _SERVING, "python", "-m", "serving.check",
        check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("MONGODB_URI is not the address")
