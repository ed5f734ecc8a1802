"""The page about the commands, from the programs themselves and the Makefile."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from prefect import Flow

from flows.__main__ import flow_names
from perennial.settings import PROJECT
from tasks.orchestration.cli import descriptions
from tools.site.markdown import code, first_line, table

_INTRODUCTION = """\
# Commands

In a clone, `make` writes `.venv/bin/perennial`; after `source .venv/bin/activate`, `perennial` is
enough. An installed package has the command by itself.
"""
_TARGET = re.compile(r"^([a-z0-9-]+):[^#\n]*(?:## (.+))?$", re.MULTILINE)
_KINDS = {str: "text", int: "integer", float: "number", bool: "switch", Path: "path"}
_PACKAGES = ("serving", "deployments", "benchmarks", "tools")


def page() -> str:
    """Return the page."""
    parts = [_INTRODUCTION, "## Make\n"]
    documented = [
        (code(f"make {name}"), text.replace("*", r"\*"))
        for name, text in make_targets().items()
        if text
    ]
    parts += [table(("command", "what it does"), documented), "\n## Flows\n"]
    for name, flow in flows().items():
        parts.append(f"### {name}\n\n{first_line(flow.fn.__doc__)}\n")
        parts.append(f"```text\nperennial {name} [arguments] [options]\n```\n")
        parts.append(
            table(("parameter", "type", "default", "meaning"), _parameters(flow.fn)) + "\n"
        )
    parts += ["## Programs\n", table(("command", "what it does"), _programs())]
    return "\n".join(parts)


def make_targets() -> dict[str, str]:
    """Return the targets of the Makefile: name -> what they do, empty if it does not say."""
    return dict(_TARGET.findall((PROJECT / "Makefile").read_text()))


def flows() -> dict[str, Flow[..., Any]]:
    """Return what ``perennial`` runs: name -> flow."""
    return {name: getattr(import_module(f"flows.{name}"), name) for name in sorted(flow_names())}


def programs() -> dict[str, Path]:
    """Return what ``python -m`` can run beside the flows: dotted name -> its file."""
    found = {}
    for package in _PACKAGES:
        for file in sorted((PROJECT / package).rglob("*.py")):
            if "__pycache__" not in file.parts and _is_program(file):
                parts = file.relative_to(PROJECT).with_suffix("").parts
                found[".".join(part for part in parts if part != "__main__")] = file
    return found


def _is_program(file: Path) -> bool:
    return file.name == "__main__.py" or 'if __name__ == "__main__":' in file.read_text()


def _programs() -> Iterator[tuple[str, str]]:
    for name, file in programs().items():
        yield code(f"python -m {name}"), first_line(ast.get_docstring(ast.parse(file.read_text())))


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[str, str, str, str]]:
    hints, texts = get_type_hints(function), descriptions(function)
    for name, parameter in inspect.signature(function).parameters.items():
        option = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        shown = f"--{name.replace('_', '-')}" if option else name.upper()
        default = parameter.default
        required = default is inspect.Parameter.empty
        yield (
            code(shown),
            _kind(hints[name]),
            "required" if required else "" if default is None else code(default),
            texts.get(name, ""),
        )


def _kind(hint: Any) -> str:
    """Return what a person writes for a parameter."""
    if get_origin(hint) is Literal:
        return ", ".join(code(value) for value in get_args(hint))
    parts = [part for part in get_args(hint) or (hint,) if part is not type(None)]
    return " or ".join(_KINDS.get(part, getattr(part, "__name__", str(part))) for part in parts)
