"""The programs of a cluster, built once.

They are modules of Go, pinned in go.mod and go.sum beside this file, and built by the toolchain
that requirements-cluster.txt brings. What was built stays in the user's cache, for every clone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perennial.errors import OutsideError
from perennial.settings import PROJECT

MODULE = Path(__file__).parent
# Program -> the package of which it is made.
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
}
_ENVIRONMENT = Path(sys.prefix) / "cluster"
_LONGEST_SECONDS = 1800
_UNREACHED = re.compile(
    r"dial tcp|no such host|i/o timeout|connection re(fused|set)|TLS handshake timeout|"
    r"proxyconnect|module lookup disabled|\b(403 Forbidden|50[234] )"
)


class UnreachedError(OutsideError):
    """The modules cannot be fetched from here."""


def release() -> str:
    """Return the release of Kubernetes that go.mod pins, such as ``1.36.3``.

    Raises
    ------
    OutsideError
        If it pins none.
    """
    text = (MODULE / "go.mod").read_text()
    found = re.search(r"^\s*k8s\.io/kubernetes v(\S+)$", text, re.MULTILINE)
    if found is None:
        raise OutsideError("tools/cluster/go.mod does not say which k8s.io/kubernetes it needs.")
    return found[1]


def cache() -> Path:
    """Return the folder in which built programs and fetched files stay."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "perennial" / "cluster"


def folder() -> Path:
    """Return where the programs are: another place for every change of what they are made of."""
    parts = [MODULE / "go.mod", MODULE / "go.sum", PROJECT / "requirements-cluster.txt"]
    digest = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()
    return cache() / f"{release()}-{digest[:12]}"


def find(program: str) -> Path | None:
    """Return a program, or None if it has not been built."""
    path = folder() / program
    return path if path.exists() else None


def missing() -> list[str]:
    """Return the names of the programs that have not been built."""
    return [program for program in PACKAGES if find(program) is None]


def go(*arguments: str, cwd: Path = MODULE, seconds: float = _LONGEST_SECONDS) -> str:
    """Run the toolchain and return what it printed.

    Parameters
    ----------
    *arguments : str
        Such as ``build``.
    cwd : Path
        The folder of a module.
    seconds : float
        The most that it may take.

    Raises
    ------
    UnreachedError
        If modules cannot be fetched.
    OutsideError
        If there is no toolchain, or it fails.
    """
    program = _ENVIRONMENT / "bin" / "go"
    if not program.exists():
        raise OutsideError(f"There is no {program}: `make test-cluster` installs it.")
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "",
        "GOWORK": "off",
    }
    try:
        done = subprocess.run(
            [str(program), *arguments],
            cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UnreachedError(f"`go {arguments[0]}` took longer than {seconds:.0f} s.") from error
    if done.returncode:
        lines = (done.stderr + done.stdout).strip().splitlines() or ["no word"]
        kind = UnreachedError if _UNREACHED.search(done.stderr + done.stdout) else OutsideError
        raise kind(f"`go {arguments[0]}` says: {lines[-1]}")
    return done.stdout


def build() -> None:
    """Build what is missing; processes that want the same at once wait for one of them.

    Raises
    ------
    UnreachedError
        If modules cannot be fetched.
    OutsideError
        If there is no toolchain, or a program cannot be built.
    """
    with alone():
        for program in missing():
            build_of_kubernetes(program, PACKAGES[program])


@contextmanager
def alone() -> Iterator[None]:
    """Let one process build, and others wait for it."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(module: str, version: str, checksum: str) -> Path:
    """Return the folder of a module's files.

    Parameters
    ----------
    module : str
        Its path.
    version : str
        Its version.
    checksum : str
        As in a go.sum.

    Raises
    ------
    UnreachedError
        If it cannot be fetched.
    OutsideError
        If it has another checksum.
    """
    name = f"{module}@{version}"
    # Outside of our module, whose programs must not be built of what it needs.
    with tempfile.TemporaryDirectory() as nowhere:
        found = json.loads(go("mod", "download", "-json", name, cwd=Path(nowhere)))
    if found["Sum"] != checksum:
        raise OutsideError(f"{name} has the checksum {found['Sum']}, and {checksum} is pinned.")
    return Path(found["Dir"])


def build_of_kubernetes(program: str, package: str) -> None:
    """Build a program of go.mod, which says its version.

    Parameters
    ----------
    program : str
        Its name.
    package : str
        Of what it is made.

    Raises
    ------
    UnreachedError
        If modules cannot be fetched.
    OutsideError
        If it cannot be built.
    """
    version = f"v{release()}"
    major, minor, _ = version.removeprefix("v").split(".")
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    linked = [
        "-s",
        "-w",
        *(f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamps.items()),
    ]
    folder().mkdir(exist_ok=True)
    compile_into(folder() / program, package, version, " ".join(linked))


def compile_into(
    path: Path, package: str, version: str, linked: str = "-s -w", module: Path = MODULE
) -> None:
    """Build a program, in place at once: a build that is broken off leaves nothing behind.

    Parameters
    ----------
    path : Path
        Where it will be.
    package : str
        Of what it is made.
    version : str
        For who waits.
    linked : str
        Options of the linker.
    module : Path
        The folder whose go.mod and go.sum say what it needs.

    Raises
    ------
    UnreachedError
        If modules cannot be fetched.
    OutsideError
        If it cannot be built.
    """
    started = time.monotonic()
    print(f"Building {path.name} of {version}, once", flush=True)
    with tempfile.TemporaryDirectory(dir=cache()) as work:
        made = Path(work) / path.name
        go("build", "-mod=readonly", "-trimpath", "-ldflags", linked, "-o", str(made), package,
           cwd=module)  # fmt: skip
        shutil.move(made, path)
    print(f"Built {path.name} in {time.monotonic() - started:.0f} s", flush=True)
