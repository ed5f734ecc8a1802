"""A password of MongoDB is changed: what refuses the old one, what takes the new one, what goes on.

Reloader and External Secrets need a cluster. What a new pod runs before the service, and what an
old pod goes on doing meanwhile, are real processes here; SecantusDB stands in for Atlas.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from perennial.settings import PROJECT
from tests.conftest import wait_until
from tests.e2e.small_service import promote_small, serving
from tests.mongodb_users import Guarded, guarded_mongodb
from tests.small_models import GOOD

pytestmark = pytest.mark.e2e

_OLD, _NEW = "the-old-password", "the-new-password"
_DATABASE = "of_the_log"


@pytest.fixture
def mongodb(tmp_path: Path) -> Iterator[Guarded]:
    """A MongoDB with the user of the service."""
    with guarded_mongodb(tmp_path / "mongodb", service=_OLD) as server:
        yield server


@pytest.fixture
def data(tmp_path: Path, snippets: list[tuple[str, int]]) -> Path:
    """A data folder whose registry has a model in Production."""
    return promote_small(tmp_path / "data", snippets[:400])


@pytest.fixture
def environment(data: Path) -> Callable[[str], dict[str, str]]:
    """Return a function that makes the environment of a pod whose secret has this address."""

    def make(uri: str) -> dict[str, str]:
        return {
            **os.environ,
            "DATA_DIR": str(data),
            "MONGODB_URI": uri,
            "MLFLOW_TRACKING_URI": f"sqlite:///{data / 'mlflow' / 'mlflow.db'}",
            "SERVING_LOG_DATABASE": _DATABASE,
        }

    return make


def _check(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run what the init container runs."""
    return subprocess.run(
        [sys.executable, "-m", "serving.check", "MONGODB_URI", "MLFLOW_TRACKING_URI"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _logged(uri: str) -> int:
    with MongoClient[dict[str, Any]](uri) as server:
        database = server[_DATABASE]
        names = database.list_collection_names()
        return sum(database[name].count_documents({"version": 1}) for name in names)


def _classify(client: httpx.Client) -> str:
    answer = client.post("/classify", json={"inputs": [GOOD]}).raise_for_status()
    return str(answer.json()["predictions"][0]["label"])


def test_a_rotated_password_stops_old_starts_and_no_old_service_secantusdb_for_atlas(
    mongodb: Guarded, environment: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    old, new = (environment(mongodb.uri("service", password)) for password in (_OLD, _NEW))
    assert _check(old).returncode == 0

    with serving(old, tmp_path / "old.log") as client:
        assert _classify(client) == "positive"
        wait_until(lambda: _logged(old["MONGODB_URI"]) == 1, "the old pod logs")
        mongodb.change_password("service", _NEW)

        refused = _check(old)
        assert refused.returncode == 1
        (sentence,) = refused.stderr.strip().splitlines()
        assert sentence.startswith("MongoDB refuses the user or password in MONGODB_URI")
        assert _OLD not in sentence

        assert _classify(client) == "positive"
        assert client.get("/readyz").status_code == 200
        taken = _check(new)
        assert taken.returncode == 0, taken.stderr

    before = _logged(new["MONGODB_URI"])
    with serving(new, tmp_path / "new.log") as client:
        assert _classify(client) == "positive"
        wait_until(lambda: _logged(new["MONGODB_URI"]) > before, "the new pod logs")


def test_a_secret_that_nobody_has_written_yet_stops_the_new_pod(
    environment: Callable[[str], dict[str, str]],
) -> None:
    done = _check(environment(""))

    assert done.returncode == 1
    assert done.stderr.startswith("MONGODB_URI is not set")
