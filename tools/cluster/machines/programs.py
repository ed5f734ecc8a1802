"""The programs of a node: built once, or of the system."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from perennial.errors import OutsideError
from tools.cluster import programs

_FOLDER = Path(__file__).parent
_MODULES = _FOLDER / "modules.yaml"
# Of the module that the control plane is built of.
_OF_KUBERNETES = {
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
}
# Of go.mod beside this file: what enforces network policies, and the DNS of the cluster.
_OF_THE_NODE = {
    "kube-router": "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
    "coredns": "./dns",
}
# Program -> the package of Debian that has it.
_OF_THE_SYSTEM = {
    "busybox": "busybox-static",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "ipset": "ipset",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "runc": "runc",
    "unshare": "util-linux",
}


def plugins() -> Path:
    """Return where the built programs are: another place for every change of their versions."""
    parts = [_MODULES, _FOLDER / "go.mod", _FOLDER / "go.sum", _FOLDER / "dns" / "main.go"]
    digest = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()
    return programs.cache() / f"machines-{digest[:12]}"


def find(program: str) -> Path | None:
    """Return a program that was built, or None."""
    path = plugins() / program
    return path if path.exists() else programs.find(program)


def system(program: str) -> Path:
    """Return a program of the system.

    Raises
    ------
    OutsideError
        If it is not installed.
    """
    path = shutil.which(program)
    if path is None:
        raise OutsideError(f"A node needs {program}: `apt-get install {_OF_THE_SYSTEM[program]}`.")
    return Path(path)


def lacking() -> str:
    """Return why this machine can have no nodes, or nothing."""
    if os.geteuid():
        return "a node needs root"
    if missing := [each for each in _OF_THE_SYSTEM if shutil.which(each) is None]:
        packages = sorted({_OF_THE_SYSTEM[each] for each in missing})
        return f"a node needs {', '.join(missing)}: `apt-get install {' '.join(packages)}`"
    return ""


def missing() -> list[str]:
    """Return the names of the programs that have not been built."""
    return [program for program in _all() if find(program) is None]


def build() -> None:
    """Build what is missing.

    Raises
    ------
    UnreachedError
        If modules cannot be fetched.
    OutsideError
        If a program cannot be built.
    """
    with programs.alone():
        for program in missing():
            _build(program)


def _build(program: str) -> None:
    if program in _OF_KUBERNETES:
        programs.build_of_kubernetes(program, _OF_KUBERNETES[program])
        return
    plugins().mkdir(exist_ok=True)
    path = plugins() / program
    if program in _OF_THE_NODE:
        programs.compile_into(path, _OF_THE_NODE[program], "go.mod", module=_FOLDER)
        return
    pinned = _pinned_programs()[program]
    programs.compile_into(
        path,
        pinned["programs"][program],
        pinned["version"],
        module=programs.fetch(pinned["module"], pinned["version"], pinned["sum"]),
    )


def _all() -> Iterator[str]:
    yield from _OF_KUBERNETES
    yield from _OF_THE_NODE
    yield from _pinned_programs()


def _pinned_programs() -> dict[str, dict[str, Any]]:
    """Return program -> the module that it is made of."""

    def pairs() -> Iterator[tuple[str, dict[str, Any]]]:
        for module in YAML(typ="safe").load(_MODULES):
            for program in module["programs"]:
                yield program, module

    return dict(pairs())
