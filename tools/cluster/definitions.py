"""Definitions of custom resources, from the modules of the projects that define them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tools.cluster.programs import MODULE, fetch, folder


def definitions() -> list[Path]:
    """Return the files of all definitions, fetched once.

    Raises
    ------
    UnreachedError
        If a module cannot be fetched.
    OutsideError
        If a module is not the pinned one.
    """
    pinned = YAML(typ="safe").load(MODULE / "definitions.yaml")
    return [path for module in pinned for path in _files(module)]


def _files(pinned: dict[str, Any]) -> list[Path]:
    version, name = pinned["version"], pinned["module"].replace("/", "-")
    kept = folder() / "definitions" / f"{name}-{version}"
    paths = [kept / Path(file).name for file in pinned["files"]]
    if not all(path.exists() for path in paths):
        source = fetch(pinned["module"], pinned["version"], pinned["sum"])
        kept.mkdir(parents=True, exist_ok=True)
        for file, path in zip(pinned["files"], paths, strict=True):
            shutil.copyfile(source / file, path)
    return paths
