"""What an earlier commit stored goes on living, in a folder that has another name by now."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from perennial.settings import PROJECT
from tests.e2e import conftest as sites
from tests.schemas import make_mlflow_earlier, make_prefect_earlier

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_STORED = PROJECT / "tests" / "data" / "before_the_library"
EXPECTED = json.loads((_STORED / "expected.json").read_text())["problems"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of a project that was unpacked and then renamed."""
    folder = tmp_path_factory.mktemp("stored")
    with tarfile.open(_STORED / "data.tar.xz") as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (folder / "unpacked").rename(folder / "renamed")
    # As if its libraries had been earlier ones, too.
    make_mlflow_earlier(folder / "renamed" / ".data" / "mlflow" / "mlflow.db")
    make_prefect_earlier(folder / "renamed" / ".data" / "prefect" / "prefect.db")
    shutil.copytree(_STORED / "problems", folder / "renamed" / "problems")
    plain = {
        name: value for name, value in os.environ.items() if not sites.CONFIGURATION.match(name)
    }
    return plain | {
        "DATA_DIR": str(folder / "renamed" / ".data"),
        "PROBLEMS_DIR": str(folder / "renamed" / "problems"),
        # The predictions were logged long ago, and are to stay.
        "SERVING_LOG_DAYS": "36500",
    }


def run(environment: Mapping[str, str], *arguments: str) -> str:
    """Run a command, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "deployments", *arguments],
        cwd=PROJECT,
        env={**environment, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def classify(url: str, problem: str, inputs: list[Any]) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        url + "classify",
        json.dumps({"model": problem, "inputs": inputs}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: list[dict[str, Any]] = json.load(answer)["predictions"]
        return found


def test_stored_versions_are_served_compared_and_rolled_back(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    assert run(environment, "upgrade").count(" went from revision ") == 2

    with sites.serving(environment, tmp_path / "service.log") as url:
        for problem, stored in EXPECTED.items():
            production = stored["versions"][str(stored["aliases"]["production"])]
            answers = classify(url, problem, stored["inputs"])

            assert [answer["label"] for answer in answers] == production["labels"]
            for answer, expected in zip(answers, production["probabilities"], strict=True):
                assert list(answer["probabilities"].values()) == pytest.approx(expected, abs=1e-9)

    history = run(environment, "history", "reviews")
    for change in EXPECTED["reviews"]["history"]:
        assert change["why"][:40] in history

    assert "version 5 is worse" in run(
        environment, "rollback", "reviews", "--why", "version 5 is worse"
    )
    compared = run(environment, "retrain", "reviews", "--force")
    assert "against version 2" in compared

    reproduced = run(environment, "reproduce", "flowers", "1")
    assert "made with another layout of the code" in reproduced
    assert not Path("/srv/perennial").exists()
