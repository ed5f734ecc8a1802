"""The images, as Kubernetes runs them: read-only, without rights, within their memory.

``make test-image`` builds them first. They are no part of ``make test-e2e``: a build takes minutes,
needs buildah, podman and root.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from perennial import __version__
from perennial.config.problem import Problem
from perennial.registry.artifact import Golden
from perennial.settings import Settings
from perennial.training.pipelines import assemble, build_classifier, build_counter, build_normalizer
from tests.conftest import free_port, wait_until
from tests.e2e.podman import LIMITS, SERVING, USER, WORKER, podman, require_images
from tests.mongodb_users import guarded_mongodb

_START_SECONDS = 120.0
_MOST_MEGABYTES = 700
_MOST_SECONDS = 8.0
_STARTS = 5
_MEMORY = ("--memory=512m", "--memory-swap=512m")
_GOOD, _BAD = "a warm , funny and touching film", "a dull , boring and stupid mess"

pytestmark = [pytest.mark.container, pytest.mark.e2e]


@pytest.fixture(scope="session", autouse=True)
def images() -> None:
    """The images, or none of these tests."""
    require_images()


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str, str], None]:
    """Return a function that shows a figure beside the name of the test."""

    def show(what: str, figure: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{what}: {figure}")

    return show


@pytest.fixture
def data(machine: Settings, problem: Problem, snippets: list[tuple[str, int]]) -> Path:
    """A data folder with a model in Production, which belongs to the user of the image."""
    from perennial.registry.client import open_registry

    texts, labels = zip(*snippets[:400], strict=True)
    candidate = problem.candidates["tfidf-logistic"]
    normalizer, counter = build_normalizer(problem, candidate), build_counter(candidate.features)
    matrix = counter.fit_transform(normalizer.transform(list(texts)))
    names = np.array([problem.classes[label] for label in labels])
    classifier = build_classifier(problem, "tfidf-logistic").fit(matrix, names)
    model = assemble(normalizer, counter, classifier)
    registry = open_registry(machine)
    golden = Golden(
        inputs=(_GOOD, _BAD),
        classes=tuple(model.classes_),
        probabilities=model.predict_proba([_GOOD, _BAD]).tolist(),
    )
    with registry.run(problem.name, "retrain") as run_id:
        version = registry.register(problem.name, run_id, model, golden, tags={})
    registry.promote(version, expected=None)
    for path in (machine.data_dir, *machine.data_dir.rglob("*")):
        os.chown(path, USER, USER)
    return machine.data_dir


@pytest.fixture
def run(data: Path) -> Iterator[Callable[..., tuple[str, httpx.Client]]]:
    """Return a function that starts the serving image and a client of it."""
    started: list[str] = []

    def start(*options: str) -> tuple[str, httpx.Client]:
        port = free_port()
        mounts = [f"--volume={data}:{data}", f"--env=DATA_DIR={data}", "--tmpfs=/tmp:size=64m"]
        publish = f"--publish=127.0.0.1:{port}:3000"
        # It is published on this machine alone.
        mounts.append("--env=SERVING_OPEN=true")
        done = podman(
            "run", "--detach", "--no-healthcheck", *LIMITS, *_MEMORY, *mounts, publish, *options,
            SERVING,
        )  # fmt: skip
        started.append(done.stdout.strip())
        return started[-1], httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5)

    yield start
    for container in started:
        podman("rm", "--force", "--time", "5", container, check=False)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_the_service_classifies_read_only_without_rights_in_512_mib(
    run: Callable[..., tuple[str, httpx.Client]],
) -> None:
    container, client = run()
    wait_until(lambda: _is_ready(client), "the container is ready", _START_SECONDS)

    answer = client.post("/classify", json={"inputs": [_GOOD, _BAD]})

    assert answer.status_code == 200
    assert [found["label"] for found in answer.json()["predictions"]] == ["positive", "negative"]
    state = json.loads(podman("inspect", container).stdout)[0]
    assert not state["State"]["OOMKilled"]
    assert podman("exec", container, "id", "-u").stdout.strip() == str(USER)
    assert podman("exec", container, "touch", "/app/new", check=False).returncode


def test_a_container_without_a_cache_is_ready_within_8_seconds(
    run: Callable[..., tuple[str, httpx.Client]], data: Path, report: Callable[[str, str], None]
) -> None:
    """The quickest of five starts: what the image needs, and not what else the machine does."""
    seconds = []
    for _ in range(_STARTS):
        shutil.rmtree(data / "serving", ignore_errors=True)
        begun = time.monotonic()
        container, client = run()
        wait_until(lambda client=client: _is_ready(client), "it is ready", _START_SECONDS)
        seconds.append(time.monotonic() - begun)
        podman("rm", "--force", "--time", "5", container)

    report("the service is ready after (median)", f"{statistics.median(seconds):.1f} s")
    report("the quickest of the starts", f"{min(seconds):.1f} s")
    assert min(seconds) <= _MOST_SECONDS


def test_whatever_a_start_imports_is_compiled(
    run: Callable[..., tuple[str, httpx.Client]],
) -> None:
    container, client = run("--env=PYTHONVERBOSE=1")
    wait_until(lambda: _is_ready(client), "the container is ready", _START_SECONDS)

    said = podman("logs", container)
    imported = re.findall(r"code object from '(/[^']+)'", said.stdout + said.stderr)

    assert len(imported) > 1000
    assert [path for path in imported if path.endswith(".py")] == []


def test_a_container_that_starts_again_serves_what_it_served_last(
    run: Callable[..., tuple[str, httpx.Client]],
) -> None:
    container, client = run()
    wait_until(lambda: _is_ready(client), "the container is ready", _START_SECONDS)
    podman("stop", "--time", "20", container)

    _, again = run("--env=MLFLOW_TRACKING_URI=http://127.0.0.1:9")
    wait_until(lambda: _is_ready(again), "it serves without the registry", _START_SECONDS)

    assert again.get("/readyz").json()["models"][0]["origin"] == "cache"


def test_the_image_of_the_service_is_small_and_holds_no_way_to_build(
    report: Callable[[str, str], None],
) -> None:
    sizes = {
        image: int(podman("image", "inspect", "--format", "{{.Size}}", image).stdout) / 1e6
        for image in (SERVING, WORKER)
    }
    for image, size in sizes.items():
        report(image, f"{size:.0f} MB")
    assert sizes[SERVING] <= _MOST_MEGABYTES
    tools = podman("run", "--rm", SERVING, "sh", "-c", "command -v gcc cc make git", check=False)
    assert not tools.stdout
    for library in ("prefect", "deltalake", "matplotlib"):
        done = podman("run", "--rm", SERVING, "python", "-c", f"import {library}", check=False)
        assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("image", [SERVING, WORKER])
def test_an_image_says_what_it_is_and_runs_as_nobody(image: str) -> None:
    described = json.loads(podman("image", "inspect", image).stdout)[0]

    assert described["User"] == f"{USER}:{USER}"
    assert described["Labels"]["org.opencontainers.image.revision"]
    assert described["Labels"]["org.opencontainers.image.version"] == __version__
    assert described["Labels"]["org.opencontainers.image.title"] == "Perennial"
    assert described["Healthcheck"]
    environment = " ".join(described["Config"]["Env"])
    assert "BENTOML_CONTAINERIZED" not in environment
    for word in ("TOKEN", "PASSWORD", "SECRET", "KEY="):
        assert word not in environment


def test_the_worker_runs_flows_read_only_without_rights() -> None:
    done = podman(
        "run", "--rm", *LIMITS, "--tmpfs=/tmp:size=256m",
        WORKER, "python", "-m", "flows", "retrain", "--help",
    )  # fmt: skip

    assert "python -m flows retrain" in done.stdout


def test_a_container_that_others_reach_does_not_start_without_keys() -> None:
    refused = podman(
        "run", "--rm", *LIMITS, *_MEMORY, "--tmpfs=/tmp:size=64m", SERVING, check=False
    )

    assert refused.returncode == 1
    assert "SERVING_API_KEY_HASHES is not set" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_wrong_password_stops_the_new_container_with_one_sentence_secantusdb_for_atlas(
    tmp_path: Path,
) -> None:
    with guarded_mongodb(tmp_path / "mongodb", service="right") as mongodb:
        refused, taken = (
            podman(
                "run", "--rm", "--network=host", *LIMITS, *_MEMORY, "--tmpfs=/tmp:size=64m",
                f"--env=MONGODB_URI={mongodb.uri('service', password)}", "--env=SERVING_OPEN=true",
                SERVING, "python", "-m", "serving.check", "MONGODB_URI",
                check=False,
            )
            for password in ("wrong", "right")
        )  # fmt: skip

    assert refused.returncode == 1
    sentence = refused.stderr.strip().splitlines()[-1]
    assert sentence.startswith("MongoDB refuses the user or password in MONGODB_URI")
    assert "wrong" not in sentence
    assert taken.returncode == 0, taken.stderr
