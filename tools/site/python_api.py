"""The pages about the Python API: one for each room of the library, from its docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from perennial.settings import PROJECT
from tools.site.markdown import table, text_of

_LIBRARY = PROJECT / "perennial"
FOLDER = "reference/python"


def rooms() -> dict[str, list[str]]:
    """Return the rooms of the library: page -> the modules on it."""
    found = {}
    for folder in sorted(_LIBRARY.iterdir()):
        if (folder / "__init__.py").exists():
            name = folder.relative_to(PROJECT).as_posix().replace("/", ".")
            found[f"{FOLDER}/{name}.md"] = list(_modules(folder.rglob("*.py")))
    return found


def page(modules: list[str]) -> str:
    """Return the page of a room, whose package is its first module."""
    room, *others = modules
    parts = [f"# {room}\n", text_of(_docstring(room)) + "\n"]
    parts += [f"::: {name}\n" for name in others]
    return "\n".join(parts)


def index() -> str:
    """Return the page that names all rooms, and has the modules that are in none."""
    rows = [
        (f"[{modules[0]}]({Path(uri).relative_to('reference')})", _docstring(modules[0]))
        for uri, modules in rooms().items()
    ]
    lines = [(link, text_of(text).partition("\n")[0]) for link, text in rows]
    _, *modules = _modules(_LIBRARY.glob("*.py"))
    parts = ["# Python API\n", table(("room", "what is in it"), lines) + "\n"]
    return "\n".join([*parts, *(f"::: {name}\n" for name in modules)])


def _modules(files: Iterator[Path]) -> Iterator[str]:
    """Yield dotted names, the package before its modules."""
    for file in sorted(files, key=lambda file: (file.stem != "__init__", file.as_posix())):
        parts = file.relative_to(PROJECT).with_suffix("").parts
        if "__pycache__" not in parts and "data" not in parts:
            yield ".".join(part for part in parts if part != "__init__")


def _docstring(module: str) -> str:
    path = PROJECT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.get_docstring(ast.parse(file.read_text())) or ""
