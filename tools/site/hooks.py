"""What MkDocs calls while it builds the site: generated pages, and a navigation that has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tools.site import (
    commands,
    extend,
    http_api,
    problem_file,
    prometheus,
    python_api,
    repository,
    settings,
    status,
)


def pages() -> dict[str, Callable[[], str]]:
    """Return the generated pages: address in the site -> what makes its Markdown."""
    return {
        "how-to/extend.md": extend.page,
        "reference/commands.md": commands.page,
        "reference/problem-file.md": problem_file.page,
        "reference/settings.md": settings.page,
        "reference/metrics.md": prometheus.page,
        "reference/status.md": status.page,
        "reference/http-api.md": http_api.page,
        "reference/python.md": python_api.index,
        **{uri: partial(python_api.page, rooms) for uri, rooms in python_api.rooms().items()},
        **{uri: partial(repository.page, uri) for uri in repository.SOURCES},
    }


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace each pattern of the navigation by the pages that it matches."""
    folder = Path(config.docs_dir)
    written = [file.relative_to(folder).as_posix() for file in folder.rglob("*.md")]
    config.nav = list(_expand(config.nav or [], sorted([*written, *pages()])))
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for uri, make in pages().items():
        files.append(File.generated(config, uri, content=make()))
    return files


def _expand(items: list[Any], uris: list[str]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, dict):
            yield {
                title: list(_expand(part, uris)) if isinstance(part, list) else part
                for title, part in item.items()
            }
        elif "*" in item:
            yield from (uri for uri in uris if fnmatch(uri, item))
        else:
            yield item
