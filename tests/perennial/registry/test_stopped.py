"""A process that is stopped inside of a promotion, and goes on when others have decided."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest
from mlflow import MlflowClient

from perennial.registry.client import Note, Registry
from perennial.settings import PROJECT, Settings
from tests.conftest import wait_until

# Stops itself as SIGSTOP from outside would: the change is written down, and the alias not moved.
_PROMOTE = """
import os, signal
import tasks
from mlflow import MlflowClient
from perennial.registry import aliases
from perennial.registry.client import Note, StaleComparisonError, open_registry
from perennial.settings import get_settings

move = aliases._move_production

def stopped(*arguments):
    os.kill(os.getpid(), signal.SIGSTOP)
    move(*arguments)

aliases._move_production = stopped
registry = open_registry(get_settings())
try:
    registry.promote(
        registry.version("reviews", 2), expected=registry.version("reviews", 1), note=Note("slow")
    )
except StaleComparisonError as error:
    print("refused:", error)
else:
    print("promoted, Production is now version 2")
"""


def test_the_process_that_slept_loses_and_history_tells_all(
    machine: Settings, registry: Registry, client: MlflowClient
) -> None:
    client.create_registered_model("reviews")
    for number in range(1, 4):
        client.create_model_version("reviews", f"s3://nowhere/{number}")
    registry.promote(registry.version("reviews", 1), expected=None, note=Note("the first"))
    slow = subprocess.Popen(
        [sys.executable, "-c", _PROMOTE],
        cwd=PROJECT,
        env={**os.environ, "DATA_DIR": str(machine.data_dir)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        asleep = psutil.Process(slow.pid)
        wait_until(lambda: asleep.status() == psutil.STATUS_STOPPED, "it sleeps", seconds=90)

        now = registry.production("reviews")
        registry.promote(registry.version("reviews", 3), expected=now, note=Note("in the meantime"))
        slow.send_signal(signal.SIGCONT)
        said, _ = slow.communicate(timeout=60)
    finally:
        slow.kill()
        slow.wait()

    assert "refused: Production of reviews has been moved to version 3 since" in said
    production = registry.require_production("reviews")
    assert production.version == 3
    assert [(each.before, each.after, each.why) for each in registry.history("reviews")] == [
        (None, 1, "the first"),
        (1, 3, "in the meantime"),
    ]


@pytest.fixture(autouse=True)
def _no_tracking_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the other process use the embedded MLflow of the machine as well."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
