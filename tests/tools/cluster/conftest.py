"""A small program in the place of the toolchain of Go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.cluster import programs

WRITES_WHAT_IT_BUILDS = 'while [ "$1" != -o ]; do shift; done; echo built > "$2"'


@pytest.fixture
def toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that puts a script in the place of ``go``; it gives the calls' file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(programs, "_ENVIRONMENT", tmp_path)
    calls = tmp_path / "calls"

    def put(script: str) -> Path:
        program = tmp_path / "bin" / "go"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$*" >> {calls}\n{script}\n')
        program.chmod(0o755)
        return calls

    return put
