"""Schemathesis, which tries all that a served description allows, and much that it does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.serving.running import served

_CONFIGURATION = Path(__file__).parent / "schemathesis.toml"
_PROGRAM = Path(sys.executable).parent / "schemathesis"
_SECONDS = 400
_EXAMPLES = 10


def findings(app: Any, folder: Path) -> str | None:
    """Return what is found in all phases and with all checks; None if it is nothing."""
    shutil.copy(_CONFIGURATION, folder)
    with served(app) as client:
        command = [_PROGRAM, "run", f"{client.base_url}/openapi.json", "--checks", "all"]
        options = ["--max-examples", f"{_EXAMPLES}", "--generation-deterministic", "--no-color"]
        done = subprocess.run(
            [*command, *options],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    return done.stdout + done.stderr if done.returncode else None
