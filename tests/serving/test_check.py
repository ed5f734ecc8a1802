"""The check before the service: it says what refuses, and waits for nobody who is silent."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from perennial.settings import PROJECT, Settings
from serving.check import SECONDS, problems

# What a rollout may lose to it; starting Python and its imports come on top.
_MOST_SECONDS = 15.0


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_the_wait_for_a_silent_server_is_shorter_than_a_rollout_can_bear() -> None:
    assert SECONDS < _MOST_SECONDS


@pytest.mark.parametrize("name", ["MONGODB_URI", "MLFLOW_TRACKING_URI", "both"])
def test_a_server_that_says_nothing_is_not_waited_for(
    silent: int, machine: Settings, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    addresses = {
        "mongodb_uri": SecretStr(f"mongodb://127.0.0.1:{silent}"),
        "mlflow_tracking_uri": f"http://127.0.0.1:{silent}",
    }
    asked = [each for each in addresses if name in {each.upper(), "both"}]
    settings = machine.model_copy(
        update={each: addresses[each] if each in asked else None for each in addresses}
    )

    with caplog.at_level(logging.WARNING):
        refused = problems(settings, seconds=0.1)

    assert refused == []
    said = [record.getMessage() for record in caplog.records]
    for each in asked:
        expected = f"({each.upper()}) has said nothing for 0 s. The service starts without it."
        assert any(expected in message for message in said)


def test_a_pod_starts_while_mongodb_and_the_registry_say_nothing(
    silent: int, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serving.check", "MONGODB_URI", "MLFLOW_TRACKING_URI"],
        cwd=PROJECT,
        env={
            **os.environ,
            "DATA_DIR": str(tmp_path),
            # Far longer than the check may take: only its own limit can end it in time.
            "MONGODB_TIMEOUT": "250",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "250",
            "MONGODB_URI": f"mongodb://127.0.0.1:{silent}",
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{silent}",
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("has said nothing for 10 s. The service starts without it.") == 2


def test_a_server_that_refuses_is_named_while_another_says_nothing(
    silent: int, machine: Settings
) -> None:
    settings = machine.model_copy(
        update={
            "mongodb_uri": SecretStr("http://127.0.0.1"),
            "mlflow_tracking_uri": f"http://127.0.0.1:{silent}",
        }
    )

    (refused,) = problems(settings, seconds=1.0)

    assert "it must begin with mongodb://" in refused
