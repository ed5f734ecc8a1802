"""Definitions of custom resources, from the modules of the projects that define them."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from perennial.errors import OutsideError
from tools.cluster.programs import MODULE, folder, go


def definitions() -> list[Path]:
    """Return the files of all definitions, fetched once.

    Raises
    ------
    UnreachedError
        If a module cannot be fetched.
    OutsideError
        If a module is not the one that definitions.yaml pins.
    """
    pinned = YAML(typ="safe").load(MODULE / "definitions.yaml")
    return [path for module in pinned for path in _files(module)]


def _files(pinned: dict[str, Any]) -> list[Path]:
    version, name = pinned["version"], pinned["module"].replace("/", "-")
    kept = folder() / "definitions" / f"{name}-{version}"
    paths = [kept / Path(file).name for file in pinned["files"]]
    if not all(path.exists() for path in paths):
        source = _fetch(pinned)
        kept.mkdir(parents=True, exist_ok=True)
        for file, path in zip(pinned["files"], paths, strict=True):
            shutil.copyfile(source / file, path)
    return paths


def _fetch(pinned: dict[str, Any]) -> Path:
    name = f"{pinned['module']}@{pinned['version']}"
    # Outside of our module, whose programs must not be built of what these need.
    with tempfile.TemporaryDirectory() as nowhere:
        found = json.loads(go("mod", "download", "-json", name, cwd=Path(nowhere)))
    if found["Sum"] != pinned["sum"]:
        raise OutsideError(
            f"{name} has the checksum {found['Sum']}, and tools/cluster/definitions.yaml names "
            f"{pinned['sum']}."
        )
    return Path(found["Dir"])
