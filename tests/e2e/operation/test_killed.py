"""Killed at any point, a retraining that is started again completes as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from pymongo import MongoClient
from ruamel.yaml import YAML

from flows.retrain import retrain
from perennial.registry.client import open_registry
from perennial.settings import PROJECT, Settings, get_settings
from perennial.stores.snapshots.store import SnapshotStore
from tests.conftest import copy_mlflow, forget_mlflow, wait_until
from tests.tasks.promotion.test_promote import CANDIDATES

pytestmark = pytest.mark.e2e

_DOCUMENTS = 1200

# Runs one retraining, which kills its process group at a point: before or after the call of a
# function, or of a method with an argument.
_DRIVER = """
import importlib, json, os, signal, sys
import flows
from flows.retrain import retrain

problem, (module, owner, name, moment, argument) = sys.argv[1], json.loads(sys.argv[2])
home = importlib.import_module(module)
home = getattr(home, owner) if owner else home
function = getattr(home, name)

def killing(*args, **kwargs):
    here = argument is None or argument in args
    if here and moment == "before":
        os.killpg(0, signal.SIGKILL)
    result = function(*args, **kwargs)
    if here:
        os.killpg(0, signal.SIGKILL)
    return result

setattr(home, name, killing)
retrain(problem)
"""

# Where a retraining is killed: module, class or None, function, moment, argument or None.
POINTS = {
    "before the snapshot is written": (
        "perennial.stores.snapshots.delta",
        None,
        "write_deltalake",
        "before",
        None,
    ),
    "after the snapshot is written": (
        "perennial.stores.snapshots.delta",
        None,
        "write_deltalake",
        "after",
        None,
    ),
    "while candidates are trained": ("tasks.training.train", None, "_log", "before", None),
    "before the version is created": (
        "mlflow",
        "MlflowClient",
        "create_model_version",
        "before",
        None,
    ),
    "after the version is created": (
        "mlflow",
        "MlflowClient",
        "create_model_version",
        "after",
        None,
    ),
    "between the aliases": (
        "mlflow",
        "MlflowClient",
        "set_registered_model_alias",
        "before",
        "production",
    ),
    "after the promotion, before the verdict is written": (
        "perennial.registry.client",
        "Registry",
        "annotate",
        "before",
        None,
    ),
}
PRODUCTION_BEFORE = {"between the aliases"}


class World:
    """A machine with a problem of its own: a killed run keeps the turn of its problem a while."""

    def __init__(self, folder: Path, empty_mlflow: Path, mongodb: str, prefect: str) -> None:
        self.data, self.problems, self.database = folder / "data", folder / "problems", folder.name
        self.problem = folder.name
        (self.data / "mlflow").mkdir(parents=True)
        self.problems.mkdir()
        copy_mlflow(empty_mlflow, self.data)
        self.environment = {
            "DATA_DIR": str(self.data),
            "PROBLEMS_DIR": str(self.problems),
            "MONGODB_URI": mongodb,
            "PREFECT_API_URL": prefect,
        }

    def write_problem(self, *candidates: str) -> None:
        content = {
            "source": {"database": self.database, "collection": "reviews"},
            "labels": {"negative": 0, "positive": 1},
            "preparations": {"plain": {"stop_words": "keep", "lemmas": "none"}},
            "candidates": {name: CANDIDATES[name] for name in candidates},
            "gates": {"floors": {"accuracy": 0.3}, "first_version": None, "confirm": "none"},
        }
        with (self.problems / f"{self.problem}.yaml").open("w") as file:
            YAML(typ="safe").dump(content, file)

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        forget_mlflow()
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)


def _kill(world: World, point: tuple[str | None, ...]) -> tuple[int, str]:
    """Retrain in a process that is killed at a point; return how it ended and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, world.problem, json.dumps(point)],
        cwd=PROJECT,
        env={**os.environ, **world.environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        start_new_session=True,
    )
    return done.returncode, done.stderr[-2000:]


@pytest.fixture(scope="module")
def worlds(
    tmp_path_factory: pytest.TempPathFactory,
    empty_mlflow: Path,
    mongodb_server: str,
    prefect_api: str,
    documents: Any,
) -> Iterator[dict[str, World]]:
    """Yield one machine per point, on which a retraining was killed there."""
    from uuid import uuid4

    worlds = {
        point: World(
            tmp_path_factory.mktemp(f"killed-{uuid4().hex[:8]}"),
            empty_mlflow,
            mongodb_server,
            prefect_api,
        )
        for point in POINTS
    }
    with MongoClient(mongodb_server) as client:
        for point, world in worlds.items():
            client[world.database]["reviews"].insert_many(documents(_DOCUMENTS))
            if point in PRODUCTION_BEFORE:
                with pytest.MonkeyPatch.context() as patched:
                    world.write_problem("weak")
                    world.enter(patched)
                    retrain(world.problem)
                forget_mlflow()
            world.write_problem("good")
        with ThreadPoolExecutor(2) as processes:
            ends = dict(
                zip(POINTS, processes.map(_kill, worlds.values(), POINTS.values()), strict=True)
            )
        assert {point: end for point, end in ends.items() if end[0] != -signal.SIGKILL} == {}
        with get_client(sync_client=True) as prefect:
            # What a Prefect server does after a minute; the embedded one has no service for it.
            for world in worlds.values():
                prefect.delete_global_concurrency_limit_by_name(f"retrain {world.problem}")
        yield worlds
        for world in worlds.values():
            client.drop_database(world.database)


def _check_documents(world: World, mongodb: str) -> None:
    """Every document of the collection is in the snapshots, once."""
    store = SnapshotStore(world.problem, get_settings())
    snapshot = store.latest()
    assert snapshot is not None
    with MongoClient(mongodb) as client:
        there = Counter(d["_id"] for d in client[world.database]["reviews"].find({}, {"_id": 1}))
    assert Counter(store.known_ids(snapshot)["id"].to_pylist()) == there
    assert len(store.read(snapshot)) == snapshot.documents


def _statuses(world: World) -> set[str]:
    """Return how the runs in MLflow have ended."""
    client = MlflowClient(f"sqlite:///{world.data / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(world.problem)
    return {run.info.status for run in client.search_runs([experiment.experiment_id])}


@pytest.mark.parametrize("point", POINTS)
def test_a_retraining_that_was_killed_is_completed_by_the_next_one(
    point: str,
    worlds: dict[str, World],
    mongodb_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = worlds[point]
    world.enter(monkeypatch)
    left = open_registry(get_settings()).production(world.problem)
    if left is not None:
        assert open_registry(get_settings()).load(left) is not None

    again = retrain(world.problem)
    and_again = retrain(world.problem)

    _check_documents(world, mongodb_server)
    assert again.verdict is not None
    assert and_again.verdict is None
    registry = open_registry(get_settings())
    production = registry.production(world.problem)
    assert production is not None
    assert production.tags["perennial.candidate"] == "good"
    assert len(registry.load(production).predict(["a wonderful film"])) == 1
    assert registry.alias(world.problem, "previous") is None or left is not None
    assert _statuses(world) <= {"FINISHED", "KILLED"}
    forget_mlflow()


def test_a_command_that_is_killed_leaves_no_server_behind_and_is_completed_by_the_next_one(
    machine: Settings, write_problem: Any, documents: Any
) -> None:
    from perennial.local import embedded

    problem = write_problem()
    forget_mlflow()
    # With a Prefect of its own as well: on a server the second one would wait for the killed one.
    environment = dict(os.environ)
    for configured in ("MONGODB_URI", "PREFECT_HOME"):
        del environment[configured]
    command = [sys.executable, "-m", "flows", "retrain", "reviews"]
    log = machine.data_dir / "retrain.log"

    with embedded.server(machine, "mongodb") as port:
        address = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        with MongoClient(address) as client:
            reviews = client[problem.source.database][problem.source.collection]
            reviews.insert_many(documents(400))
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            wait_until(lambda: "Prepared snapshot" in log.read_text(), "a prepared snapshot", 120)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: not embedded._answers(port), "the embedded MongoDB has ended")

    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Production is now version" in done.stdout
    store = SnapshotStore("reviews", machine)
    snapshot = store.latest()
    assert snapshot is not None
    assert snapshot.documents == 400
    assert set(Counter(store.known_ids(snapshot)["id"].to_pylist()).values()) == {1}
    assert open_registry(machine).production("reviews") is not None
