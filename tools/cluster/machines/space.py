"""Namespaces of the kernel, in which a node is a machine of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from perennial.errors import OutsideError

_BRIDGE = "perennial0"
_NETWORK = "198.51.100"
# Where the API server is, for nodes and pods.
GATEWAY = f"{_NETWORK}.1"
# The addresses of all pods.
PODS = "10.244.0.0/16"
_START_SECONDS = 10.0
# Where programs of a node write, whatever they are told.
_OWN_FOLDERS = ("/run", "/var/lib", "/var/log")
# What a kubelet sets for the whole kernel.
_SETTINGS = (
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Space:
    """The namespaces of a node.

    Attributes
    ----------
    name : str
        The name of the node.
    address : str
        Its address.
    pods : str
        The addresses of its pods.
    holder : int
        The process that they live as long as.
    """

    name: str
    address: str
    pods: str
    holder: int

    @property
    def inside(self) -> Sequence[str]:
        """The command that runs another one in it."""
        return (
            "nsenter", f"--target={self.holder}", "--net", "--mount", "--pid", "--ipc", "--uts",
        )  # fmt: skip

    @property
    def cgroup(self) -> str:
        """The group of all its containers."""
        return f"/perennial-{self.name}"

    def run(self, *command: str) -> str:
        """Run a command in it and return what it printed.

        Raises
        ------
        OutsideError
            If it fails.
        """
        return call(*self.inside, *command)

    def add_route(self, other: Space) -> None:
        """Let it reach the pods of another node.

        Raises
        ------
        OutsideError
            If it does so already.
        """
        self.run("ip", "route", "add", other.pods, "via", other.address)

    def why_not(self, *command: str) -> str:
        """Run a command in it and return what it says if it fails, else nothing."""
        done = subprocess.run([*self.inside, *command], capture_output=True, text=True, check=False)
        return (done.stderr or done.stdout or "it fails").strip() if done.returncode else ""


def call(*command: str) -> str:
    """Run a command on this machine and return what it printed.

    Raises
    ------
    OutsideError
        If it fails.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OutsideError(f"`{' '.join(command)}` says: {(done.stderr or done.stdout).strip()}")
    return done.stdout


@contextmanager
def bridge() -> Iterator[str]:
    """Make the network between this machine and its nodes; yield this machine's address in it.

    Raises
    ------
    OutsideError
        If it is there already, or cannot be made.
    """
    call("ip", "link", "add", _BRIDGE, "type", "bridge")
    try:
        call("ip", "address", "add", f"{GATEWAY}/24", "dev", _BRIDGE)
        call("ip", "link", "set", _BRIDGE, "up")
        yield GATEWAY
    finally:
        call("ip", "link", "delete", _BRIDGE)


@contextmanager
def space(number: int) -> Iterator[Space]:
    """Make the namespaces of a node; all that runs in them ends with them.

    Parameters
    ----------
    number : int
        The number of the node, from 1.

    Raises
    ------
    OutsideError
        If something cannot be made.
    """
    name = f"node-{number}"
    with ExitStack() as made:
        made.enter_context(_kept_settings())
        made.enter_context(_cgroups(f"/perennial-{name}"))
        process = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child",
             "--mount-proc", "sleep", "infinity"],
        )  # fmt: skip
        made.callback(_end, process)
        found = Space(
            name=name,
            address=f"{_NETWORK}.{10 + number}",
            pods=f"10.244.{number}.0/24",
            holder=_child(process),
        )
        _connect(found, number)
        for folder in _OWN_FOLDERS:
            found.run("mount", "-t", "tmpfs", "tmpfs", folder)
        found.run("hostname", found.name)
        yield found


def _child(process: subprocess.Popen[bytes]) -> int:
    """Return the first process of new namespaces, once it is there."""
    deadline = time.monotonic() + _START_SECONDS
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while time.monotonic() < deadline:
        for child in children.read_text().split() if children.exists() else ():
            # It mounts its own /proc before.
            if Path(f"/proc/{child}/comm").read_text().strip() == "sleep":
                return int(child)
        time.sleep(0.05)
    raise OutsideError("`unshare` makes no namespaces: a node needs root.")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _connect(found: Space, number: int) -> None:
    outer = f"perennial{number}"
    call("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0",
         "netns", str(found.holder))  # fmt: skip
    call("ip", "link", "set", outer, "master", _BRIDGE, "up")
    call("ip", "route", "add", found.pods, "via", found.address)
    for command in (
        ("ip", "link", "set", "lo", "up"),
        ("ip", "address", "add", f"{found.address}/24", "dev", "eth0"),
        ("ip", "link", "set", "eth0", "up"),
        ("ip", "route", "add", "default", "via", GATEWAY),
        ("sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"),
    ):
        found.run(*command)


@contextmanager
def _kept_settings() -> Iterator[None]:
    """Keep what a kubelet changes of the whole machine."""
    files = [Path("/proc/sys") / name for name in _SETTINGS]
    kept = {file: file.read_text() for file in files}
    try:
        yield
    finally:
        for file, value in kept.items():
            file.write_text(value)


def _hierarchies() -> list[Path]:
    """Return where control groups are: one place, or with version 1 one for each controller."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [each for each in _CGROUPS.iterdir() if (each / "cgroup.procs").exists()]


@contextmanager
def _cgroups(name: str) -> Iterator[None]:
    """Make the group of a node's containers, and remove it when all of them have ended."""
    made = []
    for hierarchy in _hierarchies():
        folder = hierarchy / name.lstrip("/")
        folder.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            # With version 1 a new group has no processor.
            if (hierarchy / setting).exists():
                (folder / setting).write_text((hierarchy / setting).read_text())
        made.append(folder)
    try:
        yield
    finally:
        deadline = time.monotonic() + _START_SECONDS
        while any(map(_is_used, made)) and time.monotonic() < deadline:
            time.sleep(0.05)
        for folder in made:
            inner = sorted((each for each in folder.rglob("*") if each.is_dir()), reverse=True)
            for each in (*inner, folder):
                each.rmdir()


def _is_used(folder: Path) -> bool:
    """Return whether a process is in a group, or in one below it."""
    return any(file.read_text() for file in folder.rglob("cgroup.procs"))
