"""Check the description of the API, as a service with and without keys has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from perennial.settings import ServingSettings
from serving.api.description.openapi import openapi
from tools.openapi import FOLDER, PROGRAMS

_KEY = "0" * 64
_SETTINGS = {
    "open": ServingSettings(),
    "keys": ServingSettings(api_key_hashes=(_KEY,)),
}


def main() -> int:
    """Return 1 if a description has anything that Redocly or Spectral warn of."""
    wrong = 0
    with TemporaryDirectory() as folder:
        for name, settings in _SETTINGS.items():
            file = Path(folder, f"{name}.json")
            file.write_bytes(openapi(settings))
            wrong += sum(_finds(command) for command in _commands(file))
    return int(wrong > 0)


def _commands(file: Path) -> list[list[str]]:
    return [
        [f"{PROGRAMS / 'redocly'}", "lint", f"{file}", "--format", "github-actions"],
        [
            *(f"{PROGRAMS / 'spectral'}", "lint", f"{file}", "--quiet"),
            *("--ruleset", f"{FOLDER / 'spectral.yaml'}", "--fail-severity", "hint"),
        ],
    ]


def _finds(command: list[str]) -> bool:
    """Return whether a program finds anything; it has said what."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = bool(done.returncode or "::warning" in done.stdout)
    if found:
        sys.stderr.write(done.stdout + done.stderr)
    return found


if __name__ == "__main__":
    sys.exit(main())
