"""The table of all settings in docs/production.md, written from perennial/settings/.

`make settings-table` writes it; a test compares the document with it.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from perennial import settings
from perennial.settings import PROJECT
from tools import marked

DOCUMENT = PROJECT / "docs" / "production.md"
GROUPS: tuple[type[BaseSettings], ...] = (
    settings.Settings,
    settings.ServingSettings,
    settings.OperationSettings,
    settings.ExporterSettings,
    settings.ConsoleSettings,
)
HEAD = ("| variable | kind | default | what it says |", "|---|---|---|---|")


def table() -> str:
    """Return every setting as a row: variable, kind, default and meaning."""
    return "\n".join([*HEAD, *(row for group in GROUPS for row in rows(group))])


def insert(document: str) -> str:
    """Return a document with the current table between its two marks."""
    return marked.insert(document, "settings", table())


def rows(group: type[BaseSettings]) -> Iterator[str]:
    """Yield the row of each setting of a group."""
    prefix = str(group.model_config.get("env_prefix", ""))
    for name, field in group.model_fields.items():
        variable = f"{prefix}{name}".upper()
        meaning = (field.description or "").replace("|", "\\|")
        yield f"| `{variable}` | {_kind(field.annotation)} | {_default(field)} | {meaning} |"


def _kind(annotation: Any) -> str:
    """Return what a person writes there."""
    if get_origin(annotation) in {types.UnionType, Union}:
        (annotation,) = (part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is dict:
        return "JSON object" + (", **secret**" if SecretStr in get_args(annotation) else "")
    if get_origin(annotation) is Literal:
        return ", ".join(get_args(annotation))
    names = {
        SecretStr: "**secret**", Path: "path", str: "text", bool: "true, false", int: "integer",
        float: "number", ByteSize: "size",
    }  # fmt: skip
    return names.get(annotation, "list")


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "" if field.annotation is Path else "number of CPUs"
    value = field.default
    if value is None or value in ((), {}):
        return ""
    if isinstance(value, ByteSize):
        return f"`{value.human_readable(separator='')}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def main() -> None:
    """Write the table into the document."""
    DOCUMENT.write_text(insert(DOCUMENT.read_text()))
    sys.stdout.write(f"{DOCUMENT.relative_to(PROJECT)} is current.\n")


if __name__ == "__main__":
    main()
