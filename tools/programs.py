"""Servers for the tests (Prometheus, Alertmanager, a registry of images), without root.

`python -m tools.programs` unpacks packages of Debian or Ubuntu into the virtual environment,
unless the machine has the programs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from perennial.errors import OutsideError

PROGRAMS = ("prometheus", "promtool", "alertmanager", "amtool", "docker-registry")
_FOLDER = Path(sys.prefix) / "programs"
_PACKAGES = ("prometheus", "prometheus-alertmanager", "docker-registry")
# Debian's Alertmanager reads its templates from a fixed folder of the machine. PRoot, of which
# libtalloc is a part, shows it the unpacked one in that place, and needs no root for it.
_PLACED = Path("usr", "share", "prometheus")
_PROOT = ("proot", "libtalloc2")
# As Debian and Ubuntu call it.
_NAMES = {"alertmanager": ("alertmanager", "prometheus-alertmanager")}
_TRIES = 3


def find(program: str) -> Path | None:
    """Return a program of the machine, else the one that `install` unpacked, else None."""
    unpacked = str(_FOLDER / "usr" / "bin")
    for place in (os.environ.get("PATH"), unpacked):
        for name in _NAMES.get(program, (program,)):
            if path := shutil.which(name, path=place):
                return Path(path)
    return None


def require(program: str) -> Path:
    """Return a program.

    Raises
    ------
    OutsideError
        If neither the machine nor the virtual environment has it.
    """
    path = find(program)
    if path is None:
        raise OutsideError(
            f"There is no {program!r}: run `python -m tools.programs`, or install "
            f"{' '.join(_PACKAGES)}."
        )
    return path


def command(program: str) -> list[str]:
    """Return how a program is started; SIGTERM has to go to the whole process group.

    Raises
    ------
    OutsideError
        If neither the machine nor the virtual environment has it.
    """
    path = require(program)
    if program != "alertmanager" or not path.is_relative_to(_FOLDER):
        return [str(path)]
    libraries = ":".join(str(each) for each in _FOLDER.glob("usr/lib/*-linux-*"))
    return [
        *("env", f"LD_LIBRARY_PATH={libraries}", str(_proot())),
        *("-b", f"{_FOLDER / _PLACED}:/{_PLACED}", str(path)),
    ]


def _proot() -> Path:
    return _FOLDER / "usr" / "bin" / "proot"


def _is_complete() -> bool:
    """Return whether all programs are here, and an unpacked Alertmanager has what it needs."""
    found = {program: find(program) for program in PROGRAMS}
    manager = found["alertmanager"]
    if manager is None or not all(found.values()):
        return False
    return _proot().exists() or not manager.is_relative_to(_FOLDER)


def install() -> None:
    """Unpack Debian's or Ubuntu's packages into the virtual environment; it needs no root.

    Raises
    ------
    OutsideError
        If the machine has no `apt-get` and `dpkg-deb`, or its package source does not answer.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise _cannot("this machine has no apt-get and dpkg-deb")
    _FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_FOLDER.parent) as work:
        folder = Path(work)
        _download(folder)
        for package in folder.glob("*.deb"):
            _run(["dpkg-deb", "--extract", str(package), str(folder / "root")], folder)
        shutil.rmtree(_FOLDER, ignore_errors=True)
        # In place at once: an installation that is broken off leaves nothing behind.
        (folder / "root").rename(_FOLDER)


def _download(folder: Path) -> None:
    """Fetch the packages, with package lists of our own where the machine's are missing."""
    try:
        _run(["apt-get", "download", *_PACKAGES, *_PROOT], folder)
    except OutsideError:
        lists = folder / "lists"
        (lists / "partial").mkdir(parents=True)
        own = [
            *("-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={folder}"),
            *("-o", f"Acquire::Retries={_TRIES}", "-o", "APT::Sandbox::User="),
        ]
        _run(["apt-get", *own, "update"], folder)
        _run(["apt-get", *own, "download", *_PACKAGES, *_PROOT], folder)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise _cannot(f"`{' '.join(command[:2])}` says: {said[-1]}")


def _cannot(reason: str) -> OutsideError:
    return OutsideError(
        f"The servers of the tests cannot be fetched, {reason}; install {' '.join(_PACKAGES)} "
        "(or put their programs on PATH)."
    )


def main() -> None:
    """Install what the machine lacks; a failure is one sentence."""
    if _is_complete():
        return
    print("Unpacking Prometheus, Alertmanager and a registry of images into .venv, for the tests")
    try:
        install()
        for program in PROGRAMS:
            require(program)
    except OutsideError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
