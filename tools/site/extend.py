"""The page about what can be added, from the rooms where each kind is one file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from perennial.settings import PROJECT
from tools.site.markdown import code, first_line, table, text_of

# What a person adds -> the rooms where it may be; the first that exists has it.
KINDS = {
    "An estimator": ("perennial/estimators",),
    "A gate": ("perennial/gates", "perennial/promotion"),
    "A metric": ("perennial/metrics",),
    "A kind of field": ("perennial/fields", "perennial/inputs"),
    "A drift test": ("perennial/drift", "perennial/monitoring"),
}
_INTRODUCTION = """\
# Extend

[Contributing](../contributing.md) says how to set up a clone and which rules the code follows.
This page lists what is there of each kind, and where.
"""


def page() -> str:
    """Return the page."""
    parts = [_INTRODUCTION]
    for title, rooms in KINDS.items():
        folder = next((PROJECT / room for room in rooms if (PROJECT / room).is_dir()), None)
        if folder is None:
            continue
        parts.append(f"## {title}\n\n{text_of(_docstring(folder / '__init__.py'))}\n")
        parts.append(table(("file", "what is in it"), _files(folder)) + "\n")
    return "\n".join(parts)


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.glob("[a-z]*.py")):
        yield code(file.relative_to(PROJECT)), first_line(_docstring(file))


def _docstring(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text())) or ""
